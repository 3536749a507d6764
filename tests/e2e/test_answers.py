"""What a scripted upstream may answer: odd forms of what is found, and what is no answer."""

import json
from typing import Any

import httpx

from tests.dashscope import CREATED, FOUND, MESSAGE, Event, block, call, completed, delta, event
from tests.e2e.asking import ASKED
from tests.peer import JSON, STREAM, answer, chunk, holds, says, stream
from tests.service import KEY, Running, fronting

Json = dict[str, Any]
WHOLE = [0, 0, 1000, 1000]
BOTH = [(one["title"], one["url"]) for one in FOUND]
EVENTS = "content-type: text/event-stream"
OPENED = STREAM + chunk(block(CREATED))


async def ask(service: Running, number: int = 0) -> httpx.Response:
    asked = ASKED | {"prompt": f"Question {number}"}
    return await service.http.post("/search", json=asked, timeout=None)


async def results_of(*answers: list[Event]) -> list[Json]:
    async with fronting(*(says(stream(*map(block, events))) for events in answers)) as (service, _):
        return [(await ask(service, number)).json() for number in range(len(answers))]


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


async def test_a_call_seen_twice_counts_once_and_one_seen_only_at_the_end_counts() -> None:
    one, two = call(FOUND), call([], name="msg_late", image=1)
    done = event("response.output_item.done", item=one)
    [result] = await results_of([CREATED, done, done, completed(one, two, MESSAGE)])
    assert [(each["image"], each["count"]) for each in result["searches"]] == [(0, 2), (1, 0)]
    assert len(result["results"]) == 2


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


async def test_the_text_is_the_last_messages() -> None:
    first = MESSAGE | {"id": "msg_0", "content": [{"type": "output_text", "text": "I look."}]}
    ended = [CREATED, completed(first, call(FOUND), MESSAGE)]
    pieces = [CREATED, delta("piece "), delta("by piece"), completed(call(FOUND))]
    results = await results_of(ended, pieces)
    assert [one["text"] for one in results] == ["两幅山水画。", "piece by piece"]


async def test_an_address_in_the_text_that_nobody_found_is_warned_of() -> None:
    def saying(text: str) -> list[Event]:
        message = MESSAGE | {"content": [{"type": "output_text", "text": text}]}
        return [CREATED, completed(call(FOUND), message)]

    results = await results_of(*map(saying, MENTIONS))
    for (text, warned), result in zip(MENTIONS.items(), results, strict=True):
        assert ("text_mentions_unlisted_url" in result["warnings"]) is warned, text


SHORT, NO_KEY = b"\r\ncontent-length: 99\r\n\r\n{", b'{"code":"InvalidApiKey","message":"no"}'
BLOCKED = b'{"code":"DataInspectionFailed","message":"no"}'
BROKEN: dict[str, tuple[bytes, str]] = {
    "comments": (answer("200 OK", b": keep-alive\n\n", EVENTS), "upstream_interrupted"),
    "a failure as JSON, called events": (answer("200 OK", NO_KEY, EVENTS), "upstream_auth_failed"),
    "words": (answer("200 OK", b"hello"), "upstream_protocol"),
    "another protocol": (b"SSH-2.0-OpenSSH\r\n", "upstream_protocol"),
    "a broken status line": (f"HTTP/1.1 2OO {KEY}\r\n\r\n".encode(), "upstream_protocol"),
    "less than its length": (b"HTTP/1.1 200 OK" + SHORT, "upstream_interrupted"),
    "a refusal cut short": (b"HTTP/1.1 401 No" + SHORT, "upstream_auth_failed"),
    "a refusal without its end": (b"HTTP/1.1 400 No" + SHORT[:-1] + BLOCKED, "content_blocked"),
    "a refusal called events": (answer("500 Bad", b"", EVENTS), "upstream_unavailable"),
    "a status of its own": (answer("418 Teapot", b"{}", JSON), "upstream_rejected"),
    "a redirect": (answer("307 Away", b"", "location: http://127.0.0.1:9/"), "upstream_rejected"),
    "a close between events": (OPENED, "upstream_interrupted"),
    "a cut in a chunk": (OPENED + b"50\r\nevent:a\ndata:{", "upstream_interrupted"),
    "a broken chunk": (OPENED + b"no chunk size\r\n", "upstream_interrupted"),
}


async def test_what_is_no_answer_fails_and_is_not_asked_for_again() -> None:
    peers = [says(wire) for wire, _ in BROKEN.values() for _ in range(2)]
    limits = {"capacity": 1, "capacity_wait_s": 0}
    async with fronting(*peers, **limits) as (service, peer):
        for broken, (_, code) in BROKEN.items():
            response = await ask(service)
            assert response.json()["code"] == code, broken
            assert KEY not in response.text
            assert ("retry-after" in response.headers) is (response.status_code == 503)
            _, events = await service.stream("GET", params=ASKED)
            assert KEY not in str(events)
            assert events[-1].json()["error"]["code"] == code, broken
        assert len(peer.requests) == 2 * len(BROKEN)


async def test_a_call_is_closed_behind_its_last_event_though_the_upstream_talks_on() -> None:
    late = chunk(block(completed()) + block(delta("late"))) + chunk(block(CREATED))
    async with fronting(holds(OPENED, late)) as (service, peer):
        found = await ask(service)
        assert found.json()["status"] == "completed"
        assert "late" not in found.text
        await peer.left.wait()
