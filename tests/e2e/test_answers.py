"""What a search finds: results only from the tool's output, in every form that it was seen in."""

import json
from typing import Any

from tests.dashscope import CREATED, FOUND, MESSAGE, Event, block, call, completed, delta, event
from tests.e2e.callers import ASKED
from tests.peer import says, stream
from tests.service import fronting

Json = dict[str, Any]
WHOLE = [0, 0, 1000, 1000]
BOTH = [(one["title"], one["url"]) for one in FOUND]


async def results_of(*answers: list[Event]) -> list[Json]:
    async with fronting(*(says(stream(*map(block, events))) for events in answers)) as (service, _):
        questions = [ASKED | {"prompt": f"Question {number}"} for number in range(len(answers))]
        return [(await service.http.post("/search", json=asked)).json() for asked in questions]


def searched(**item: Any) -> list[Event]:
    made = call(FOUND) | item
    return [CREATED, event("response.output_item.done", item=made), completed(made, MESSAGE)]


async def test_results_are_read_in_every_form_that_was_seen() -> None:
    lacking = [{"title": "no address"}, {"title": 7, "url": "https://a.example/2"}]
    good = [json.dumps(FOUND), FOUND, {"images": FOUND}, {"results": FOUND}, [*lacking, *FOUND]]
    empty = ["[]", "", None, "not json", "7", {"images": None}, [1, "x"]]
    results = await results_of(*(searched(output=output) for output in [*good, *empty]))
    for result in results[: len(good)]:
        assert [(one["title"], one["url"]) for one in result["results"]] == BOTH
    for result, output in zip(results[len(good) :], empty, strict=True):
        assert (result["outcome"], result["results"]) == ("no_match", []), output
        assert result["searches"] == [{"image": 0, "bbox": WHOLE, "count": 0}]


async def test_image_and_box_are_the_models_or_else_the_whole_first_image() -> None:
    boxes = [None, "all", [1, 2, 3, "4"], [1, 2, 3, 4_000]]
    wrong = [None, "{", "[]", '{"bbox":[NaN,1,1,1]}']
    arguments = [json.dumps({"img_idx": -1, "bbox": box}) for box in boxes] + wrong
    meant = json.dumps({"img_idx": 2, "bbox": [10, 20, 30, 40]})
    answers = [searched(arguments=one) for one in [meant, *arguments]]
    [first, *others] = await results_of(*answers)
    assert first["searches"] == [{"image": 2, "bbox": [10, 20, 30, 40], "count": 2}]
    for result, given in zip(others, arguments, strict=True):
        assert result["searches"] == [{"image": 0, "bbox": WHOLE, "count": 2}], given


async def test_a_call_seen_twice_counts_once_and_one_seen_only_at_the_end_counts() -> None:
    one, two = call(FOUND), call([], name="msg_late", image=1)
    done = event("response.output_item.done", item=one)
    [result] = await results_of([CREATED, done, done, completed(one, two, MESSAGE)])
    assert [(each["image"], each["count"]) for each in result["searches"]] == [(0, 2), (1, 0)]
    assert len(result["results"]) == 2


async def test_the_text_is_the_last_messages() -> None:
    first = MESSAGE | {"id": "msg_0", "content": [{"type": "output_text", "text": "I look."}]}
    ended = [CREATED, completed(first, call(FOUND), MESSAGE)]
    pieces = [CREATED, delta("piece "), delta("by piece"), completed(call(FOUND))]
    results = await results_of(ended, pieces)
    assert [one["text"] for one in results] == ["两幅山水画。", "piece by piece"]


INK = "https://pictures.example/ink.jpg"
MENTIONS: dict[str, bool] = {
    # the text, and whether it names an address that no search returned
    f"[ink]({INK}), ![x]({INK})": False,
    f"见{INK}\uff0c很美。": False,
    f"**{INK}**": False,
    "https://example.com/image1.jpg": True,
    f"{INK} and {INK}.html": True,
    "HTTPS://EXAMPLE.COM": True,
}


async def test_an_address_in_the_text_that_nobody_found_is_warned_of() -> None:
    def saying(text: str) -> list[Event]:
        message = MESSAGE | {"content": [{"type": "output_text", "text": text}]}
        return [CREATED, completed(call(FOUND), message)]

    results = await results_of(*map(saying, MENTIONS))
    for (text, warned), result in zip(MENTIONS.items(), results, strict=True):
        assert ("text_mentions_unlisted_url" in result["warnings"]) is warned, text
