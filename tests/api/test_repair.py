"""What `X-Stream-Repair: openai` changes, event by event."""

import json
from typing import Any

import pytest

from app.api.repair import Repair
from app.models import Event


def event(name: str, **data: Any) -> Event:
    return Event(f"response.{name}", json.dumps({"type": f"response.{name}"} | data).encode())


def added(item: str = "msg_1", index: int = 0, kind: str = "reasoning") -> Event:
    return event("output_item.added", item={"id": item, "type": kind}, output_index=index)


def mended(repair: Repair, one: Event) -> list[dict[str, Any]]:
    told = [json.loads(each.data) for each in repair.mend(one)]
    assert [each.type for each in repair.mend(Event("response.x", b"{}"))] == ["response.x"]
    return told


THOUGHT = {"item_id": "msg_1", "output_index": 0, "delta": "Hm", "sequence_number": 3}


@pytest.mark.parametrize(
    ("kind", "announcement", "part", "number"),
    [
        ("reasoning_text", "content_part.added", "reasoning_text", "content_index"),
        (
            "reasoning_summary_text",
            "reasoning_summary_part.added",
            "summary_text",
            "summary_index",
        ),
    ],
)
def test_a_thought_is_announced_once(kind: str, announcement: str, part: str, number: str) -> None:
    repair = Repair()
    repair.mend(added())
    first, piece = mended(repair, event(f"{kind}.delta", **THOUGHT))
    assert first == {
        "type": f"response.{announcement}",
        "sequence_number": 3,
        "item_id": "msg_1",
        "output_index": 0,
        number: 0,
        "part": {"type": part, "text": ""},
    }
    assert piece == {"type": f"response.{kind}.delta", **THOUGHT, number: 0}
    [again] = mended(repair, event(f"{kind}.delta", **THOUGHT))
    assert again == piece
    [done] = mended(repair, event(f"{kind}.done", **THOUGHT))
    assert done[number] == 0


def test_an_announced_thought_is_left_as_it_is() -> None:
    repair = Repair()
    repair.mend(added())
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    for one in (
        event("content_part.added", **place, part={"type": "reasoning_text", "text": ""}),
        event("reasoning_text.delta", **place, delta="Hm"),
    ):
        assert repair.mend(one) == [one]


def test_an_item_keeps_its_first_index() -> None:
    repair = Repair()
    repair.mend(added("msg_1", 0))
    repair.mend(added("msg_2", 1, "message"))
    [done] = mended(repair, event("output_item.done", item={"id": "msg_1"}, output_index=1))
    assert done["output_index"] == 0
    [text] = mended(repair, event("output_text.delta", item_id="msg_2", output_index=5))
    assert text["output_index"] == 1


def test_a_piece_without_an_item_belongs_to_the_one_at_its_index() -> None:
    repair = Repair()
    repair.mend(added("msg_2", 1, "message"))
    [text] = mended(repair, event("output_text.delta", output_index=1, content_index=0))
    assert text["item_id"] == "msg_2"


@pytest.mark.parametrize(
    "one",
    [
        event("created", response={"id": "resp_1"}),
        event("output_text.delta", item_id="msg_1", output_index=0, content_index=0),
        event("output_text.delta", output_index=7),
        event("reasoning_text.delta", item_id="never added", output_index=0),
        event("output_item.added", item="none", output_index=0),
        event("output_item.added", item={"id": 5}, output_index=0),
        event("output_text.delta", output_index="0"),
        Event("response.output_text.delta", b"{"),
        Event("response.output_text.delta", b"[]"),
        Event("response.output_text.delta", b'{ "output_index": 0 ,"item_id":"msg_1"}'),
    ],
)
def test_what_does_no_harm_is_not_touched(one: Event) -> None:
    repair = Repair()
    repair.mend(added("msg_1", 0, "message"))
    assert repair.mend(one) == [one]
