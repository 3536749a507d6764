"""Every scenario by its name, over a real socket."""

import asyncio
import json
import logging

import httpx
import pytest

from simulator.catalogue import SCENARIOS
from simulator.refusals import REFUSALS
from tests.e2e.simulator.asking import KEY, Upstream, events, question, types, upstream

SILENT = {"stall_before_first", "stall", "hang"}
ENDLESS = {"endless", "event_without_end"}
BROKEN = {"reset_before_headers", "reset_after_headers", "reset_mid_stream"}
BROKEN |= {"unterminated_chunked"}
ENOUGH_BYTES = 200_000
CALL = ["image_search_call", "reasoning"]

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

# name: status, code, and something in the message.
ERRORS = {
    "http_400": (400, "InvalidParameter", "Range of input length"),
    "http_401": (401, "InvalidApiKey", "Invalid API-key"),
    "http_403": (403, "Model.AccessDenied", "denied"),
    "http_404": (404, "ModelNotFound", "does not exist"),
    "http_405": (405, "Method Not Allowed", "not allowed"),
    "http_429": (429, "Throttling.RateQuota", "rate limit exceeded"),
    "http_500": (500, "InternalError", "internal error"),
    "http_503": (503, "ServiceUnavailable", "capacity limits"),
    "retry_after": (429, "Throttling.RateQuota", "rate limit exceeded"),
    "data_inspection": (400, "DataInspectionFailed", "inappropriate content"),
    "arrearage": (400, "Arrearage", "good standing"),
    "fails_after_billing": (500, "InternalError", "internal error"),
    "echo_key_error": (400, "InvalidParameter", KEY["authorization"].split()[1]),
    "throttled_200": (200, "server_error", "rate limit exceeded"),
    "throttled_tag": (200, "server_error", "<429> "),
    "bracket_400": (200, "InvalidParameter", "[400] "),
    "backend_overflow": (200, "server_error", "Backend buffer overflow."),
}


async def play(at: Upstream, name: str, *, stream: bool = True) -> tuple[httpx.Response, bytes]:
    """Ask, read what can be read, and leave."""
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


@pytest.mark.parametrize("name", FRAMINGS)
async def test_a_stream_differs_from_a_normal_one_as_its_scenario_says(name: str) -> None:
    async with upstream() as at:
        assert FRAMINGS[name] in (await at.stream(f"[sim {name}]")).content
        assert FRAMINGS[name] not in (await at.stream("[sim normal]")).content
        assert (await at.ask(question(f"[sim {name}]"))).json()["object"] == "response"


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_has_its_status_code_and_message(name: str) -> None:
    status, code, words = ERRORS[name]
    async with upstream() as at:
        answer = await at.ask(question(f"[sim {name} s=7]"))
        body = answer.json()
        assert at.last.finished == ("failed" if status == 200 else "refused")
        assert (at.last.billed, at.last.tool_calls) == (
            (True, 1) if name == "fails_after_billing" else (False, 0)
        )
    error = body["error"] if status == 200 else body
    assert (answer.status_code, error["code"]) == (status, code)
    assert words in error["message"]
    assert status != 200 or body["status"] == "failed"
    assert answer.headers.get("retry-after") == ("7" if name == "retry_after" else None)


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
    ("name", "status", "kind", "part"),
    [
        ("http_502_html", 502, "text/html", b"502 Bad Gateway"),
        ("http_504_html", 504, "text/html", b"504 Gateway Time-out"),
        ("redirect", 307, "text/plain", b""),
        ("nested_error", 429, "application/json", b'{"error":{"message":"Not now."'),
        ("sse_framed_error", 400, "application/json", b'data: {"error":'),
        ("garbage", 200, "text/event-stream;charset=UTF-8", b"\x00\xff{]\n"),
        ("html_200", 200, "text/html", b"Sign in"),
        ("json_200", 200, "application/json", b'"status":"completed"'),
        ("binary_200", 200, "application/octet-stream", b"\x00\x01\x02"),
        ("empty_200", 200, "text/event-stream;charset=UTF-8", b""),
        ("partial_180", 200, "text/event-stream;charset=UTF-8", b"id:5\n"),
    ],
)
async def test_a_reply_that_is_no_stream_of_events(
    name: str, status: int, kind: str, part: bytes
) -> None:
    async with upstream() as at:
        answer, body = await play(at, name)
    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)
    assert part in body if part else body == b""
    assert ("location" in answer.headers) is (name == "redirect")
    assert ("x-dashscope-partialresponse" in answer.headers) is (name == "partial_180")


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


async def test_numbers_and_indexes_break_what_nobody_may_rely_on() -> None:
    names = ("sequence_gaps", "sequence_repeats", "drifting_output_index")
    async with upstream() as at:
        seen = {name: events((await at.stream(f"[sim {name}]")).content) for name in names}
    numbers = {name: [event["sequence_number"] for event in seen[name]] for name in names}
    assert numbers["sequence_gaps"][4:6] == [4, 6]
    assert numbers["sequence_repeats"][3:6] == [3, 3, 4]
    first = [
        e for e in seen["drifting_output_index"] if e.get("item", {}).get("type") == "reasoning"
    ]
    assert [event["output_index"] for event in first[:2]] == [0, 1]


async def test_a_stream_ends_where_its_scenario_says() -> None:
    async with upstream() as at:
        body = {
            name: (await play(at, name))[1]
            for name in SCENARIOS
            if name.startswith(("cut_", "no_", "after_", "failed_", "error_"))
        }
    assert len(events(body["cut_between_events"])) == 5
    assert body["cut_inside_event"].count(b"\n\n") == 5
    assert not body["cut_inside_event"].endswith(b"\n\n")
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        body["cut_inside_utf8"].decode()
    assert events(body["cut_after_results"])[-1]["item"]["type"] == "image_search_call"
    assert events(body["no_terminal"])[-1]["item"]["type"] == "message"
    assert body["no_final_blank_line"].endswith(b"}\n")
    *_, results, failed = events(body["failed_mid_stream"])
    assert results["item"]["type"] == "image_search_call"
    assert failed["response"]["error"]["message"] == "Backend buffer overflow."
    *before, error = events(body["error_frame_mid_stream"])
    assert (len(before), error["code"]) == (5, "Throttling.AllocationQuota")
    kinds = [event["type"] for event in events(body["after_terminal"])]
    assert kinds[-3:] == ["response.completed", "response.output_text.delta", "response.completed"]


async def test_one_event_can_be_big_and_the_search_silent() -> None:
    async with upstream() as at:
        big = (await at.stream("[sim big_event bytes=300000]")).content
        slow = await at.stream("[sim silence s=0.2 slow_headers delay=0.2]")
    assert max(map(len, big.split(b"\n\n"))) > 300_000
    assert events(big)[-1]["type"] == "response.completed"
    assert slow.elapsed.total_seconds() >= 0.2


async def test_a_gate_holds_the_third_event_back() -> None:
    async with upstream() as at:
        body = question("[sim gated tag=here]", stream=True)
        async with at.client.stream("POST", "/responses", json=body) as answer:
            lines = answer.aiter_lines()
            blanks = 0
            while blanks < 2:
                blanks += await anext(lines) == ""
            assert at.record.open == 1
            await at.client.post(f"{at.url}/gate/here")
            assert await anext(lines) == "id:3"


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


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("nonsense", "SimulatorUnknownScenario"),
        *(
            (words, "SimulatorBadParameter")
            for words in ("pace=x", "pace=61", "pace=nan", "size=1")
        ),
        *((words, "SimulatorBadParameter") for words in ("error row=no", "error as=no")),
        ("nested_error status=200", "SimulatorBadParameter"),
    ],
)
async def test_a_wrong_scenario_or_parameter_is_refused(words: str, code: str) -> None:
    async with upstream() as at:
        answer = await at.stream(f"[sim {words}]")
    assert (answer.status_code, answer.json()["code"]) == (400, code)
