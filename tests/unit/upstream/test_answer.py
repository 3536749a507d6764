"""What events add up to, and what is made of them: results, phases, links, requests, failures."""

import json
from typing import Any

import pytest

from app.errors import UpstreamInterrupted
from app.models import Event, ImageInput, SearchSpec
from app.results import Match, Usage
from app.upstream.answer import AnswerBuilder, phase
from app.upstream.failed_event import made_failure
from app.upstream.links import unlisted_links
from app.upstream.payload import build_payload
from tests.dashscope import CREATED, DONE, EVENTS, FOUND, call, completed, data, delta, event

MATCHES = [Match(**found, image=0) for found in FOUND]  # type: ignore[arg-type] # as it is found


def added_up(*events: Any) -> AnswerBuilder:
    builder = AnswerBuilder()
    for one in events:
        builder.add(Event(*one))
    return builder


def done(**members: Any) -> Event:
    return Event(*event("response.output_item.done", item=call(FOUND) | members))


def test_a_whole_answer_adds_up() -> None:
    answer = added_up(*EVENTS).answer([Event(*one) for one in EVENTS])
    assert (answer.status, answer.outcome, answer.text) == ("completed", "matched", "两幅山水画。")
    assert answer.results == MATCHES
    assert answer.usage == Usage(
        input_tokens=2753, output_tokens=181, total_tokens=2934, image_search_calls=1
    )
    assert (answer.response_id, answer.model) == ("resp_1", "qwen3.7-plus")


def test_an_answer_that_broke_off_has_what_came_and_the_last_messages_text() -> None:
    deltas = [Event(*delta("first", "a")), Event(*delta("二", "b")), Event(*delta("幅", "b"))]
    answer = added_up(CREATED, DONE).answer(deltas)
    assert (answer.status, answer.text, answer.results) == (None, "二幅", MATCHES)
    assert answer.response_id == "resp_1"


@pytest.mark.parametrize(
    ("item", "image", "bbox", "urls"),
    [
        ({}, 0, (0, 0, 1000, 1000), [found["url"] for found in FOUND]),
        ({"arguments": {"img_idx": 1, "bbox": [1, 2, 3, 4]}}, 1, (1, 2, 3, 4), None),
        ({"arguments": '{"img_idx": true, "bbox": [1, 2, 3]}'}, 0, (0, 0, 1000, 1000), None),
        ({"arguments": '{"bbox": [0, 0, 1001, 9]}'}, 0, (0, 0, 1000, 1000), None),
        ({"arguments": "no JSON"}, 0, (0, 0, 1000, 1000), None),
        ({"output": "[]"}, 0, (0, 0, 1000, 1000), []),
        ({"output": '{"images": [{"title": "t", "url": "u"}]}'}, 0, (0, 0, 1000, 1000), ["u"]),
        ({"output": '[{"title": "t"}, 7, {"url": "u"}]'}, 0, (0, 0, 1000, 1000), []),
    ],
)
def test_a_call_is_read_leniently(
    item: dict[str, Any], image: int, bbox: tuple[int, ...], urls: list[str] | None
) -> None:
    found = AnswerBuilder().add(done(**item))
    assert found
    assert (found.image, found.bbox) == (image, bbox)
    assert urls is None or [match.url for match in found.results] == urls


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ([completed()], "matched"),
        ([completed(call([]))], "no_match"),
        ([completed({"type": "message"})], "tool_skipped"),
        ([CREATED], None),
    ],
)
def test_the_outcome_says_whether_the_model_searched(events: list[Any], outcome: str) -> None:
    assert added_up(*events).answer().outcome == outcome


def test_calls_are_counted_where_the_upstream_does_not_count_them() -> None:
    odd = {"input_tokens": -1, "output_tokens": 2**60, "total_tokens": "3"}
    assert added_up(completed(usage=odd)).usage == Usage(image_search_calls=1)
    assert added_up(completed(usage=None)).usage is None


@pytest.mark.parametrize(
    ("name", "kind", "begins"),
    [
        ("response.output_item.added", "reasoning", "thinking"),
        ("response.output_item.added", "image_search_call", "searching"),
        ("response.output_item.added", "message", "answering"),
        ("response.output_item.done", "message", None),
        ("response.output_text.delta", "message", None),
    ],
)
def test_an_item_that_is_added_begins_a_phase(name: str, kind: str, begins: str | None) -> None:
    assert phase(Event(*event(name, item={"id": "x", "type": kind}))) == begins


@pytest.mark.parametrize(
    ("text", "unlisted"),
    [
        ("See https://pictures.example/ink.jpg, or (https://pictures.example/hills.png?w=1).", []),
        ("见https://pictures.example/ink.jpg这里", []),
        ("https://pictures.example/hills.png?w=1&amp;x https://a.example/", 2),
        ("https://other.example/ink.jpg", 1),
    ],
)
def test_links_that_no_search_returned_are_found(text: str, unlisted: Any) -> None:
    assert len(unlisted_links(text, MATCHES)) == (unlisted or 0)


@pytest.mark.parametrize(
    "url", [b"data:image/png;base64,AAAA", b'https://a.example/"b\\', b'data:"']
)
def test_a_payload_is_one_json_text_with_the_image_in_it(url: bytes) -> None:
    spec = SearchSpec(images=(ImageInput(url, "d"),), prompt='say "hi"', model="m", thinking=False)
    payload = build_payload(spec, store=True)
    body = json.loads(b"".join(payload))
    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": 'say "hi"'},
        {"type": "input_image", "image_url": url.decode()},
    ]
    assert body["reasoning"] == {"effort": "none"}
    assert body["tools"] == [{"type": "image_search"}]
    assert "previous_response_id" not in body


def test_an_image_is_not_copied_into_the_payload() -> None:
    image = ImageInput(b"data:image/png;base64," + b"A" * 999, "d")
    spec = SearchSpec(images=(image,), prompt="p", model="m")
    assert any(part is image.url for part in build_payload(spec, store=False))


def test_a_made_failure_continues_the_response_that_broke() -> None:
    events = [Event(*CREATED), Event(*DONE), Event("response.x", data({"sequence_number": 7}))]
    error = UpstreamInterrupted("It broke.")
    made = made_failure(events, error, model="m", unknown_id="resp_made", created_at=5)
    content = json.loads(made.data)
    assert (made.type, content["type"], content["sequence_number"]) == (*2 * [made.type], 8)
    response = content["response"]
    assert (response["id"], response["status"], response["model"]) == ("resp_1", "failed", "m")
    assert response["error"] == {"code": "upstream_interrupted", "message": "It broke."}
    assert [item["type"] for item in response["output"]] == ["image_search_call"]
    nothing = made_failure([], error, model="m", unknown_id="resp_made", created_at=5)
    assert json.loads(nothing.data)["response"]["id"] == "resp_made"
