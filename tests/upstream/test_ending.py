"""The `response.failed` that is made where the upstream's own last event is missing."""

import json
from typing import Any

from app.errors import UpstreamInterrupted
from app.models import Event
from app.upstream.ending import made_failure

ERROR = UpstreamInterrupted("It broke off.")
BEGUN = {"id": "resp_1", "created_at": 7, "model": "", "status": "queued", "output": [], "x": 1}


def event(name: str, **data: Any) -> Event:
    return Event(name, json.dumps({"type": name} | data).encode())


def made(*events: Event) -> dict[str, Any]:
    ending = made_failure(events, ERROR, model="m", unknown_id="resp_0", created_at=1)
    assert ending.type == "response.failed"
    told: dict[str, Any] = json.loads(ending.data)
    assert told.pop("type") == "response.failed"
    return told


def test_it_goes_on_with_the_response_that_broke_off() -> None:
    call = {"type": "image_search_call", "id": "msg_2", "output": "[]"}
    told = made(
        Event("search.admitted", b"{}"),
        event("response.created", response=BEGUN, sequence_number=0),
        event("response.output_item.done", item={"id": "msg_1"}, sequence_number=4),
        event("response.output_item.done", item=call, sequence_number=9),
        event("response.output_text.delta", delta="H"),
    )
    assert told["sequence_number"] == 10
    response = told["response"]
    assert (response["id"], response["created_at"], response["x"]) == ("resp_1", 7, 1)
    assert (response["status"], response["model"]) == ("failed", "m")
    assert response["error"] == {"code": "upstream_interrupted", "message": "It broke off."}
    assert response["output"] == [{"id": "msg_1"}, call]


def test_without_any_event_it_stands_for_itself() -> None:
    told = made()
    assert told["sequence_number"] == 0
    response = told["response"]
    assert (response["id"], response["object"], response["created_at"]) == ("resp_0", "response", 1)
    assert (response["output"], response["usage"], response["tools"]) == ([], None, [])


def test_what_cannot_be_read_is_passed_over() -> None:
    told = made(
        Event("response.created", b"{"),
        Event("response.output_item.done", b"[]"),
        event("response.output_item.done", item="none"),
        event("response.output_text.delta", sequence_number="7"),
    )
    assert told["sequence_number"] == 0
    assert told["response"]["output"] == []
