"""Every scenario by its name, over a real socket."""

import asyncio
import json
import logging

import httpx
import pytest

from simulator.catalogue import SCENARIOS
from simulator.refusals import REFUSALS
from tests.e2e.simulator.asking import KEY, Upstream, question, types, upstream

SILENT = {"stall_before_first", "stall", "hang"}
ENDLESS = {"endless", "event_without_end"}
BROKEN = {"reset_before_headers", "reset_after_headers", "reset_mid_stream", "unterminated_chunked"}
ENOUGH_BYTES = 200_000
CALL = ["image_search_call", "reasoning"]


async def play(at: Upstream, name: str, *, stream: bool = True) -> tuple[httpx.Response, bytes]:
    body = question(f"[sim {name} delay=0 s=0 bytes=5000]", stream=stream)
    received = b""
    async with at.client.stream("POST", "/responses", json=body) as answer:
        async for chunk in answer.aiter_raw():
            received += chunk
            if len(received) > ENOUGH_BYTES:
                break
    return answer, received


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_scenario_ends_and_is_recorded_without_a_logged_error(
    name: str, *, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with upstream() as at, asyncio.timeout(60):
        await at.client.post(f"{at.url}/gate/default")
        if name in SILENT:
            asking = asyncio.create_task(play(at, name, stream=stream))
            await at.record.until(lambda record: record.open == 1)
            asking.cancel()
        elif name in BROKEN:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await play(at, name, stream=stream)
        else:
            await play(at, name, stream=stream)
        await at.record.idle()
        assert (at.record.total, at.last.scenario) == (1, name)
        assert (at.last.finished == "client_gone") is (name in SILENT | ENDLESS)
    assert caplog.records == []


# name: bytes that only this scenario's stream contains.
FRAMINGS = {
    "crlf": b"event:response.created\r\n:HTTP_STATUS/200\r\ndata:{",
    "cr": b"event:response.created\r:HTTP_STATUS/200\rdata:{",
    "glued_event_name": b"\nevent:response.created:HTTP_STATUS/200\ndata:{",
    "no_event_name": b"id:1\n:HTTP_STATUS/200\ndata:{",
    "multi_data_lines": b'\ndata:{\ndata:"sequence_number":0,',
    "bom": b"\xef\xbb\xbfid:1\n",
    "done_marker": b"}\n\ndata:[DONE]\n\n",
    "comments": b"\n: a comment line\nid:1\n:\n",
    "space_after_colon": b"id: 1\nevent: response.created\n:HTTP_STATUS/200\ndata: {",
    "extra_blank_lines": b"}\n\n\n\nid:2\n",
    "reasoning_summary_text": b"event:response.reasoning_summary_text.delta\n",
    "id_equals_sequence": b"id:0\nevent:response.created\n",
    "incomplete": b"event:response.incomplete\n",
    "invented_url": b"https://invented.example/",
    "echo_key": KEY["authorization"].split()[1].encode(),
}


@pytest.mark.parametrize("name", FRAMINGS)
async def test_a_reply_differs_from_a_normal_one_as_its_scenario_says(name: str) -> None:
    async with upstream() as at:
        answer = await at.stream(f"[sim {name}]")
        assert FRAMINGS[name] in answer.content
        assert FRAMINGS[name] not in (await at.stream("[sim normal]")).content


@pytest.mark.parametrize("form", ["http", "failed", "frame", "nested", "sse"])
async def test_every_row_of_the_table_can_be_sent_in_every_form(form: str) -> None:
    async with upstream() as at:
        for row, refusal in REFUSALS.items():
            answer = await at.stream(f"[sim error row={row} as={form} after=3]")
            *_, block = answer.text.strip().split("\n\n")
            if form == "frame":
                assert block.startswith(f"id:4\nevent:error\n:HTTP_STATUS/{refusal.status}\ndata:")
            error = json.loads(block[block.index("{") :])
            error = error["response"] if form == "failed" else error
            assert answer.status_code == (200 if form in {"failed", "frame"} else refusal.status)
            assert block.startswith("data: ") is (form == "sse")
            error = error["error"] if form in {"failed", "nested", "sse"} else error
            assert (error["code"], error["message"]) == (refusal.code, refusal.message)


@pytest.mark.parametrize(
    ("name", "kinds", "searched"),
    [
        ("normal", ["reasoning", "image_search_call", "reasoning", "message"], [0]),
        ("no_tool_call", ["reasoning", "message"], []),
        ("two_calls", ["reasoning", *CALL, *CALL, "message"], [0, 1]),
        ("message_call_message", ["reasoning", "message", *CALL, "message"], [0]),
        ("no_reasoning", ["image_search_call", "message"], [0]),
        ("no_results", ["reasoning", "image_search_call", "reasoning", "message"], [0]),
    ],
)
async def test_an_answer_has_its_items(name: str, kinds: list[str], searched: list[int]) -> None:
    urls = [f"https://gallery.example/{picture}" for picture in ("plums", "red-city")]
    async with upstream() as at:
        answer = (await at.ask(question(f"[sim {name}]", *urls))).json()
        assert at.last.tool_calls == len(searched)
        missing = (await at.ask(question(f"[sim {name} usage_missing]"))).json()
        partial = (await at.ask(question(f"[sim {name} usage_without_x_tools]"))).json()
    assert types(answer) == kinds
    calls = [item for item in answer["output"] if item["type"] == "image_search_call"]
    assert [json.loads(call["arguments"])["img_idx"] for call in calls] == searched
    assert all((call["output"] == "[]") is (name == "no_results") for call in calls)
    tools = {"x_tools": {"image_search": {"count": len(calls)}}} if calls else {}
    assert answer["usage"].get("x_tools") == tools.get("x_tools")
    assert ("usage" in missing, "x_tools" in partial["usage"]) == (False, False)


async def test_scenarios_combine_from_header_and_prompt_and_end_after_some_calls() -> None:
    async with upstream() as at:
        body = question("Both [sim crlf]", stream=True)
        answer = await at.ask(body, **{"x-simulate": "two_calls results=3"})
        assert (at.last.scenario, at.last.tool_calls) == ("two_calls crlf", 2)
        flaky = question("[sim http_503 times=2 tag=mine]")
        statuses = [(await at.ask(flaky)).status_code for _ in range(4)]
        other = await at.ask(question("[sim http_503 times=1 tag=yours]"))
    assert b"\r\n" in answer.content
    assert answer.content.count(b'\\"index\\"') == 2 * 2 * 3
    assert (statuses, other.status_code) == ([503, 503, 200, 200], 503)


@pytest.mark.parametrize("name", ["normal", "one_byte_chunks", "split_utf8"])
async def test_the_same_seed_gives_the_same_bytes_in_whatever_chunks(name: str) -> None:
    async with upstream() as at:
        plain = (await at.stream("[sim seed=1]")).content
        other = (await at.stream("[sim seed=2]")).content
        body = question(f"[sim {name} seed=1]", stream=True)
        async with at.client.stream("POST", "/responses", json=body) as answer:
            chunks = [chunk async for chunk in answer.aiter_raw()]
    assert b"".join(chunks) == plain != other
    assert any(chunk[0] & 0xC0 == 0x80 for chunk in chunks) is (name != "normal")


async def test_a_wrong_scenario_or_parameter_is_refused() -> None:
    wrong = (
        "pace=x",
        "pace=61",
        "size=1",
        "error row=no",
        "error as=no",
        "nested_error status=200",
    )
    async with upstream() as at:
        for words in ("nonsense", *wrong):
            answer = await at.stream(f"[sim {words}]")
            code = "SimulatorUnknownScenario" if words == "nonsense" else "SimulatorBadParameter"
            assert (answer.status_code, answer.json()["code"]) == (400, code)
