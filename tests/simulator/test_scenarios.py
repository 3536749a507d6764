"""Choosing scenarios, and every one of them end to end."""

import asyncio
import json
import logging
from contextlib import suppress

import httpx
import pytest

from simulator.catalogue import SCENARIOS
from simulator.refusals import Refusal
from simulator.refusals import REFUSALS
from tests.simulator.asking import KEY, Desk, desk, events, found, question

# Until the client leaves, these send so much, or nothing at all.
ENDLESS = {"endless", "event_without_end"}
SILENT = {"stall_before_first", "stall", "hang"}
BROKEN = {
    *("reset_before_headers", "reset_after_headers", "reset_mid_stream"),
    "unterminated_chunked",
}
ENOUGH_BYTES = 200_000


async def play(at: Desk, name: str, *, stream: bool) -> tuple[int, bytes]:
    """Ask, read what can be read, and leave."""
    body = question(f"[sim {name} delay=0 s=0 bytes=5000]", stream=stream)
    received = b""
    async with at.client.stream("POST", "/responses", json=body) as answer:
        async for chunk in answer.aiter_raw():
            received += chunk
            if len(received) > ENOUGH_BYTES:
                break
    return answer.status_code, received


async def leave_when_silent(at: Desk, name: str, *, stream: bool) -> None:
    """Ask, wait until the call is open, and hang up."""
    reader, writer = await connect(at)
    payload = json.dumps(question(f"[sim {name}]", stream=stream)).encode()
    head = f"POST /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: {KEY['authorization']}\r\n"
    writer.write(f"{head}content-length: {len(payload)}\r\n\r\n".encode() + payload)
    await at.record.until(lambda record: record.open == 1)
    if name != "hang":
        await reader.readline()
    writer.close()


async def connect(at: Desk) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = httpx.URL(at.url)
    return await asyncio.open_connection(url.host, url.port)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_scenario_ends_without_a_trace(
    name: str, *, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with desk() as at, asyncio.timeout(60):
        if name == "gated":
            await at.gate.open("default")
        if name in SILENT:
            await leave_when_silent(at, name, stream=stream)
        else:
            with suppress(httpx.RemoteProtocolError, httpx.ReadError):
                await play(at, name, stream=stream)
        await at.record.idle()
        assert at.record.total == 1
        assert at.last.scenario == name
        assert at.last.finished == ("client_gone" if name in SILENT | ENDLESS else at.last.finished)
    assert caplog.records == []


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_broken_connections_are_errors_for_the_client(name: str) -> None:
    async with desk() as at:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await play(at, name, stream=True)
        await at.record.idle()
        assert at.last.finished == "cut"


@pytest.mark.parametrize("form", ["http", "failed", "frame", "nested", "sse"])
async def test_every_refusal_travels_in_every_form(form: str) -> None:
    async with desk() as at:
        for row, refusal in REFUSALS.items():
            answer = await at.ask(question(f"[sim error row={row} as={form} after=3]", stream=True))
            assert answer.status_code == (200 if form in {"failed", "frame"} else refusal.status)
            assert told_in(form, answer, refusal) == (refusal.code, refusal.message)


def told_in(form: str, answer: httpx.Response, refusal: Refusal) -> tuple[str, str]:
    """Code and message of a refusal, from where its form has them."""
    if form == "failed":
        (event,) = events(answer.content)
        error = event["response"]["error"]
    elif form == "frame":
        *_, frame, end = answer.text.split("\n\n")
        head, data = frame.split("\ndata:")
        assert (head, end) == (f"id:4\nevent:error\n:HTTP_STATUS/{refusal.status}", "")
        error = json.loads(data)
        assert error.keys() == {"code", "message", "request_id"}
    elif form == "http":
        error = answer.json()
    else:
        error = json.loads(answer.text.removeprefix("data: "))["error"]
    return error["code"], error["message"]


async def test_failures_without_streaming_have_the_same_forms() -> None:
    async with desk() as at:
        failed = await at.ask(question("[sim throttled_200]"))
        framed = await at.ask(question("[sim error_frame_mid_stream]"))
        middle = await at.ask(question("[sim failed_mid_stream]"))
    assert (failed.status_code, failed.json()["status"]) == (200, "failed")
    assert failed.json()["error"]["code"] == "server_error"
    assert (framed.status_code, framed.json()["code"]) == (429, "Throttling.AllocationQuota")
    assert (middle.status_code, middle.json()["status"]) == (200, "failed")


async def test_an_unknown_scenario_is_told_with_all_names() -> None:
    async with desk() as at:
        answer = await at.ask(question("[sim nonsense]", stream=True))
    assert answer.status_code == 400
    assert answer.json()["code"] == "SimulatorUnknownScenario"
    assert all(name in answer.json()["message"] for name in SCENARIOS)


@pytest.mark.parametrize(
    "wish",
    [
        *("pace=x", "pace=61", "pace=-1", "pace=nan", "silence=601", "results=101", "size=1"),
        *("error row=nothing", "error as=nothing", "nested_error status=200"),
    ],
)
async def test_parameters_are_checked(wish: str) -> None:
    async with desk() as at:
        answer = await at.ask(question(f"[sim {wish}]"))
    assert (answer.status_code, answer.json()["code"]) == (400, "SimulatorBadParameter")


async def test_a_scenario_may_come_in_the_header_and_several_combine() -> None:
    async with desk() as at:
        answer = await at.ask(
            question("Both [sim crlf]", stream=True), **{"x-simulate": "two_calls results=3"}
        )
        assert at.last.scenario == "two_calls crlf"
        assert at.last.tool_calls == 2
    assert b"\r\n" in answer.content
    assert answer.content.count(b'\\"index\\"') == 2 * 2 * 3


async def test_a_failure_can_pass_after_some_calls_with_a_tag() -> None:
    async with desk() as at:
        flaky = question("[sim http_503 times=2 tag=mine]")
        statuses = [(await at.ask(flaky)).status_code for _ in range(4)]
        other = await at.ask(question("[sim http_503 times=1 tag=yours]"))
    assert statuses == [503, 503, 200, 200]
    assert other.status_code == 503


async def test_the_gate_holds_the_third_event_back() -> None:
    async with desk() as at:
        body = question("[sim gated tag=here]", stream=True)
        async with at.client.stream("POST", "/responses", json=body) as answer:
            lines = answer.aiter_lines()
            blanks = 0
            while blanks < 2:
                blanks += await anext(lines) == ""
            assert at.record.open == 1
            await at.client.post(f"{at.url}/gate/here")
            rest = [line async for line in lines]
    assert rest[0] == "id:3"
    assert at.last.finished == "completed"


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("no_tool_call", ["reasoning", "message"]),
        ("two_calls", ["reasoning", *["image_search_call", "reasoning"] * 2, "message"]),
        (
            "message_call_message",
            ["reasoning", "message", "image_search_call", "reasoning", "message"],
        ),
        ("no_reasoning", ["image_search_call", "message"]),
    ],
)
async def test_shapes_have_their_items(name: str, kinds: list[str]) -> None:
    async with desk() as at:
        answer = (await at.ask(question(f"[sim {name}]"))).json()
    assert [item["type"] for item in answer["output"]] == kinds


async def test_two_calls_search_the_first_two_images() -> None:
    async with desk() as at:
        two = (await at.ask(question("[sim two_calls]", "plums", "sunflower"))).json()
        one = (await at.ask(question("[sim two_calls]", "plums"))).json()
    searched = [
        [
            json.loads(item["arguments"])["img_idx"]
            for item in answer["output"]
            if item["type"] == "image_search_call"
        ]
        for answer in (two, one)
    ]
    assert searched == [[0, 1], [0, 0]]
    assert two["usage"]["x_tools"] == {"image_search": {"count": 2}}


async def test_no_results_is_an_empty_list_and_still_a_charged_search() -> None:
    async with desk() as at:
        answer = (await at.ask(question("[sim no_results]"))).json()
        assert at.last.tool_calls == 1
    assert found(answer) == []


@pytest.mark.parametrize(
    ("name", "present"),
    [("usage_without_x_tools", (True, False)), ("usage_missing", (False, False))],
)
async def test_usage_may_lack_parts(name: str, present: tuple[bool, bool]) -> None:
    async with desk() as at:
        answer = (await at.ask(question(f"[sim {name}]"))).json()
    assert ("usage" in answer, "x_tools" in answer.get("usage", {})) == present


async def test_only_one_scenario_names_a_url_that_was_not_found() -> None:
    async with desk() as at:
        texts = [
            (await at.ask(question(f"[sim {name}]"))).json()["output"][-1]["content"][0]["text"]
            for name in ("normal", "invented_url")
        ]
    assert ["invented.example" in text for text in texts] == [False, True]


async def test_numbering_scenarios_break_what_nobody_may_rely_on() -> None:
    async with desk() as at:
        numbers = {
            name: [
                event["sequence_number"]
                for event in events((await at.ask(question(f"[sim {name}]", stream=True))).content)
            ]
            for name in ("sequence_gaps", "sequence_repeats")
        }
        same = await at.ask(question("[sim id_equals_sequence]", stream=True))
    assert numbers["sequence_gaps"][4:6] == [4, 6]
    assert numbers["sequence_repeats"][3:6] == [3, 3, 4]
    assert (
        b'id:3\nevent:response.reasoning_text.delta\n:HTTP_STATUS/200\ndata:{"sequence_number":3,'
        in same.content
    )


async def test_the_key_is_echoed_in_a_delta_and_in_an_error() -> None:
    key = KEY["authorization"].split()[1]
    async with desk() as at:
        streamed = await at.ask(question("[sim echo_key]", stream=True))
        refused = await at.ask(question("[sim echo_key_error]"))
    deltas = [e["delta"] for e in events(streamed.content) if e["type"].endswith("text.delta")]
    assert any(key in delta for delta in deltas)
    assert key in refused.json()["message"]


async def test_cuts_come_where_they_say() -> None:
    async with desk() as at:
        cut = {
            name: (await play(at, name, stream=True))[1]
            for name in (
                *("cut_between_events", "cut_inside_event", "cut_inside_utf8"),
                *("cut_after_results", "no_terminal", "after_terminal", "empty_200"),
            )
        }
    assert len(events(cut["cut_between_events"])) == 5
    assert cut["cut_inside_event"].count(b"\n\n") == 5
    assert not cut["cut_inside_event"].endswith(b"\n\n")
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        cut["cut_inside_utf8"].decode()
    assert events(cut["cut_after_results"])[-1]["item"]["type"] == "image_search_call"
    assert events(cut["no_terminal"])[-1]["item"]["type"] == "message"
    kinds = [event["type"] for event in events(cut["after_terminal"])]
    assert kinds[-3:] == [
        "response.completed",
        "response.output_text.delta",
        "response.completed",
    ]
    assert cut["empty_200"] == b""


async def test_headers_of_special_replies_are_there() -> None:
    async with desk() as at:
        retry = await at.ask(question("[sim retry_after s=7]"))
        moved = await at.ask(question("[sim redirect]"))
        partial = await at.ask(question("[sim partial_180]", stream=True))
        page = await at.ask(question("[sim http_502_html]"))
        whole = await at.ask(question("[sim json_200]", stream=True))
    assert (retry.status_code, retry.headers["retry-after"]) == (429, "7")
    assert (moved.status_code, moved.headers["location"]) == (307, "http://127.0.0.1:9/elsewhere")
    assert partial.headers["x-dashscope-partialresponse"] == "true"
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    assert whole.json()["status"] == "completed"
