"""The shape of whole streams, byte for byte where it matters."""

import json
import re
from dataclasses import replace

import pytest

from tests.simulator.asking import QUICK, desk, events, question

NORMAL = [
    "response.created",
    "response.in_progress",
    "response.output_item.added reasoning",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
    "response.output_item.done reasoning",
    "response.output_item.added image_search_call",
    "response.output_item.done image_search_call",
    "response.output_item.added reasoning",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
    "response.output_item.done reasoning",
    "response.output_item.added message",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done message",
    "response.completed",
]


def shape(body: bytes) -> list[str]:
    """Event types with their items', runs of the same one told once."""
    told: list[str] = []
    for event in events(body):
        name = " ".join([event["type"], *([event["item"]["type"]] if "item" in event else [])])
        if told[-1:] != [name]:
            told.append(name)
    return told


async def test_a_whole_stream_has_the_vendors_shape() -> None:
    async with desk() as at:
        answer = await at.ask(question(stream=True))
    assert answer.headers["content-type"] == "text/event-stream;charset=UTF-8"
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])
    assert shape(answer.content) == NORMAL
    lines = answer.content.split(b"\n")
    assert lines[:3] == [b"id:1", b"event:response.created", b":HTTP_STATUS/200"]
    assert b"\r" not in answer.content
    assert b"[DONE]" not in answer.content
    assert answer.content.endswith(b"}\n\n")


async def test_each_events_name_id_and_data_agree() -> None:
    async with desk() as at:
        answer = await at.ask(question(stream=True))
    blocks = answer.text.split("\n\n")[:-1]
    for place, block in enumerate(blocks):
        number, name, status, data = block.split("\n")
        body = json.loads(data.removeprefix("data:"))
        assert number == f"id:{place + 1}"
        assert body["sequence_number"] == place
        assert name == f"event:{body['type']}"
        assert status == ":HTTP_STATUS/200"


async def test_model_and_tools_are_unknown_until_the_end() -> None:
    async with desk() as at:
        answer = await at.ask(question(stream=True))
    told = events(answer.content)
    first, second, last = (told[place]["response"] for place in (0, 1, -1))
    assert [first["status"], second["status"], last["status"]] == [
        "queued",
        "in_progress",
        "completed",
    ]
    assert (first["model"], first["tools"]) == ("", [])
    assert (last["model"], last["tools"]) == ("qwen3.7-plus", [{"type": "image_search"}])
    assert first["id"] == last["id"]
    assert last["id"].startswith("resp_")
    assert all(item["id"].startswith("msg_") for item in last["output"])


async def test_the_deltas_make_up_the_text_and_hold_chinese_words() -> None:
    async with desk() as at:
        answer = await at.ask(question(stream=True))
    told = events(answer.content)
    text = "".join(e["delta"] for e in told if e["type"] == "response.output_text.delta")
    last = told[-1]["response"]["output"][-1]
    assert last["content"][0]["text"] == text
    assert not text.isascii()
    assert text.encode() in answer.content


async def test_the_same_seed_gives_the_same_bytes() -> None:
    async with desk(replace(QUICK, public_url="http://pictures.example")) as at:
        ask = question("What? [sim two_calls seed=7]", "red-sails", "plums", stream=True)
        first, second = [(await at.ask(ask)).content for _ in range(2)]
        other = question("What? [sim two_calls seed=8]", "red-sails", "plums", stream=True)
        third = (await at.ask(other)).content
    assert first == second
    assert first != third


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("crlf", b"event:response.created\r\n:HTTP_STATUS/200\r\ndata:{"),
        ("cr", b"event:response.created\r:HTTP_STATUS/200\rdata:{"),
        ("glued_event_name", b"\nevent:response.created:HTTP_STATUS/200\ndata:{"),
        ("no_event_name", b"id:1\n:HTTP_STATUS/200\ndata:{"),
        ("multi_data_lines", b'\ndata:{\ndata:"sequence_number":0,'),
        ("bom", b"\xef\xbb\xbfid:1\n"),
        ("done_marker", b"}\n\ndata:[DONE]\n\n"),
        ("comments", b"\n: a comment line\nid:1\n:\n"),
        ("space_after_colon", b"id: 1\nevent: response.created\n:HTTP_STATUS/200\ndata: {"),
        ("extra_blank_lines", b"}\n\n\n\nid:2\n"),
    ],
)
async def test_framings_differ_as_they_say(name: str, inside: bytes) -> None:
    async with desk() as at:
        answer = await at.ask(question(f"[sim {name}]", stream=True))
    assert inside in answer.content


@pytest.mark.parametrize("name", ["one_byte_chunks", "split_utf8"])
async def test_chunks_change_no_byte(name: str) -> None:
    chunks: list[bytes] = []
    async with desk(replace(QUICK, public_url="http://pictures.example")) as at:
        plain = await at.ask(question("[sim seed=1]", stream=True))
        body = question(f"[sim {name} seed=1]", stream=True)
        async with at.client.stream("POST", "/responses", json=body) as answer:
            chunks += [chunk async for chunk in answer.aiter_raw()]
    assert b"".join(chunks) == plain.content
    assert any(chunk[0] & 0xC0 == 0x80 for chunk in chunks)


async def test_the_last_event_may_stay_unclosed() -> None:
    async with desk() as at:
        answer = await at.ask(question("[sim no_final_blank_line]", stream=True))
    assert answer.content.endswith(b"}\n")
    assert not answer.content.endswith(b"\n\n")


async def test_one_event_can_be_made_big() -> None:
    async with desk() as at:
        answer = await at.ask(question("[sim big_event bytes=300000]", stream=True))
    assert max(map(len, answer.content.split(b"\n\n"))) > 300_000
    assert events(answer.content)[-1]["type"] == "response.completed"
