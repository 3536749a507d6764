"""Traces: what a collector gets of a search, and what it never gets."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Queue

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter as Exporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.clock import until
from tests.e2e.asking import ASKED
from tests.e2e.callers import GUARDED, SHOP
from tests.e2e.shipped import shipped
from tests.e2e.test_secrets import PRIVATE, ask_all
from tests.peer import answers, holds, response, serving
from tests.processes import ROOT
from tests.service import running
from tests.waiting import hurried

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01", "tracestate": "vendor=canary"}
TOOL = "execute_tool image_search"
SEARCH_S, EXIT_S = 10, 10
"""Generous: a search takes milliseconds, the last spans a second at most."""
RETRIED = "[sim http_429 times=1 tag=t]"
NOBODYS_PORT = 1
TRACES_PER_S, ASKED_OFTEN = 50, 400


def named(exporter: Exporter, name: str) -> ReadableSpan:
    [span] = [span for span in exporter.get_finished_spans() if span.name == name]
    return span


async def ended(exporter: Exporter, number: int) -> None:
    async with asyncio.timeout(SEARCH_S):
        await until(lambda: len(exporter.get_finished_spans()) >= number)


async def test_a_retried_search_is_one_trace_of_request_call_and_tool(exporter: Exporter) -> None:
    asked = ASKED | {"prompt": RETRIED, "max_output_tokens": 500}
    async with running() as service:
        answer, events = await hurried(service.stream(json=asked, headers=TRACED))
        await ended(exporter, 3)
        sent = {name for call in service.record.calls for name in call.headers}
    assert not sent & {"traceparent", "tracestate"}
    result = events[-1].result()
    request = named(exporter, "POST /search/stream")
    call, tool = named(exporter, f"chat {result['model']}"), named(exporter, TOOL)
    assert {f"{span.context.trace_id:032x}" for span in exporter.get_finished_spans()} == {TRACE_ID}
    assert request.parent
    assert f"{request.parent.span_id:016x}" == PARENT_ID
    assert (call.parent, tool.parent) == (request.context, call.context)
    assert (request.kind, call.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/search/stream",
        "http.response.status_code": answer.status_code,
        "url.scheme": "http",
    }
    attributes = dict(call.attributes or {})
    assert float(str(attributes.pop("gen_ai.response.time_to_first_chunk"))) > 0
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "dashscope",
        "gen_ai.request.model": result["model"],
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 500,
        "gen_ai.response.id": result["upstream_response_id"],
        "gen_ai.response.model": result["model"],
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": result["usage"]["input_tokens"],
        "gen_ai.usage.output_tokens": result["usage"]["output_tokens"],
        "imagesearch.outcome": "matched",
    }
    [retry] = call.events
    assert retry.attributes
    assert (retry.name, retry.attributes["error.type"]) == ("retry", "upstream_rate_limited")
    assert tool.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "image_search",
        "imagesearch.results": len(result["results"]),
    }
    times = [call.start_time, tool.start_time, tool.end_time, call.end_time]
    assert times == sorted(times, key=lambda at: at or 0)


async def test_a_failure_has_its_code_on_its_call_and_request(exporter: Exporter) -> None:
    async with running() as service:
        await hurried(service.http.post("/search", json=ASKED | {"prompt": "[sim http_429]"}))
        await service.http.get("/nowhere/canary")
        await service.stream(json=ASKED | {"prompt": "[sim cut_after_results]"})
        await ended(exporter, 6)
    refused, cut = (span for span in exporter.get_finished_spans() if span.name.startswith("chat "))
    request, missing = named(exporter, "POST /search"), named(exporter, "GET")
    stream, tool = named(exporter, "POST /search/stream"), named(exporter, TOOL)
    busy = "upstream_rate_limited"
    assert [one.name for one in refused.events] == ["retry"] * 2
    codes = (busy, busy, "upstream_interrupted")
    for span, code in zip((refused, request, cut), codes, strict=True):
        assert span.attributes
        assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, code)
    assert "http.route" not in (missing.attributes or {})
    assert missing.status.status_code is StatusCode.UNSET
    assert (cut.parent, tool.parent) == (stream.context, cut.context)


async def test_the_call_outlives_its_request_and_who_joins_has_none(exporter: Exporter) -> None:
    asked = ASKED | {"prompt": "[sim gated tag=x]", "background": True}
    async with running() as service:
        first = await service.http.post("/search", json=asked)
        assert first.status_code == 202
        joined = asyncio.create_task(service.stream(json=asked))
        await service.until_metric("imagesearch_cache_total", 1, result="coalesced")
        assert not [span for span in exporter.get_finished_spans() if span.name.startswith("chat ")]
        await service.open_gate("x")
        await joined
        await ended(exporter, 4)
    [call] = [span for span in exporter.get_finished_spans() if span.name.startswith("chat ")]
    left = named(exporter, "POST /search")
    assert call.parent == left.context
    assert (left.end_time or 0) < (call.end_time or 0)


async def test_no_span_holds_anything_private(exporter: Exporter, lines: Queue[bytes]) -> None:
    async with running(**GUARDED) as service:
        service.http.event_hooks = {}
        asked = [path async for path, _ in ask_all(service.http, **TRACED)]
        for one in ("GET /v1/responses/r_canary", "GET /ui/chat/canary/stream", "CANARY /canary"):
            await service.http.request(*one.split(), headers=SHOP)
    spans = exporter.get_finished_spans()
    assert min(len(spans), lines.qsize()) > len(asked)  # What every test is looked through for.
    written = "".join(span.to_json() for span in spans)
    assert [word for word in (*PRIVATE, "access_token", "://") if word in written] == []


async def test_a_process_sends_its_spans_and_has_their_trace_in_its_log() -> None:
    async with serving(answers(response(b""))) as collector:
        settings = traced_to(collector.port) | {"OTEL_SERVICE_NAME": "pictures"}
        async with shipped(**settings, CLIENT_KEYS=GUARDED["client_keys"]) as (process, http):
            _ = [path async for path, _ in ask_all(http)]
            await http.post("/search", json=ASKED, headers=SHOP | TRACED)
        sent = b"".join(collector.requests)
    assert {one.split()[1] for one in collector.requests} == {b"/v1/traces"}
    spans = exported(collector.requests)
    assert {"POST /search", "chat qwen3.7-plus", TOOL} <= {span.name for span in spans}
    assert b"pictures" in sent
    assert [word for word in PRIVATE if word.encode() in sent or word in process.said] == []
    lines = [json.loads(line) for line in process.lines]
    ended = [line["trace_id"] for line in lines if line["event"] == "search ended"]
    assert ended[-1] == TRACE_ID
    assert lines[-1].get("trace_id") is None


@pytest.mark.parametrize("sampler", ["", "parentbased_always_on"])
async def test_traces_are_limited_in_a_second_unless_a_sampler_is_named(sampler: str) -> None:
    async with serving(answers(response(b""))) as collector:
        settings = traced_to(collector.port) | {"OTEL_TRACES_SAMPLER": sampler}
        async with shipped(**settings, ALLOW_ANONYMOUS="true") as (process, http):
            began_at = time.monotonic()
            for _ in range(ASKED_OFTEN):
                await http.get("/healthz", headers=TRACED)
            took_s = time.monotonic() - began_at
        spans = exported(collector.requests)
    assert sum(TRACE_ID in line for line in process.lines) >= ASKED_OFTEN
    kept = sum(span.name == "GET /healthz" for span in spans)
    if sampler:
        assert kept == ASKED_OFTEN
    else:
        assert TRACES_PER_S <= kept <= TRACES_PER_S * (took_s + 2)


@pytest.mark.parametrize("collector", ["gone", "silent"])
async def test_a_collector_that_is_gone_delays_no_search_and_no_exit(collector: str) -> None:
    async with serving(holds()) as silent:
        settings = traced_to(silent.port if collector == "silent" else NOBODYS_PORT)
        settings |= {"ALLOW_ANONYMOUS": "true", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        async with shipped(**settings) as (process, http):
            for _ in range(5):
                async with asyncio.timeout(SEARCH_S):
                    assert (await http.post("/search", json=ASKED)).is_success
            stopped_at = time.monotonic()
        assert process.lines
        assert time.monotonic() - stopped_at < EXIT_S


async def test_an_endpoint_without_the_sdk_is_warned_of_in_one_line(tmp_path: Path) -> None:
    block = "import sys; sys.modules['opentelemetry.sdk'] = None"
    (tmp_path / "sitecustomize.py").write_text(block, encoding="utf-8")
    settings = traced_to(NOBODYS_PORT) | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    async with shipped(ALLOW_ANONYMOUS="true", **settings) as (process, http):
        assert (await http.post("/search", json=ASKED)).is_success
    [warning] = [line for line in process.lines if "OTEL_EXPORTER_OTLP" in line]
    assert "extra 'otel'" in warning
    assert "Traceback" not in process.said


@pytest.mark.parametrize(
    ("variable", "value", "warned"),
    [
        ("OTEL_TRACES_EXPORTER", "none", False),
        ("OTEL_SDK_DISABLED", "true", False),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", True),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", True),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: canary", False),
    ],
)
async def test_a_service_starts_whatever_the_variables_of_traces_say(
    variable: str, value: str, *, warned: bool
) -> None:
    async with serving(answers(response(b""))) as collector:
        settings = traced_to(collector.port) | {variable: value, "ALLOW_ANONYMOUS": "true"}
        async with shipped(**settings) as (process, http):
            assert (await http.post("/search", json=ASKED)).is_success
    assert bool(collector.requests) is (variable == "OTEL_EXPORTER_OTLP_HEADERS")
    assert ("OTEL_*: no traces are sent" in process.said) is warned
    assert "canary" not in process.said


def exported(requests: Sequence[bytes]) -> list[Span]:
    """The spans of requests that a collector got."""
    bodies = [one.partition(b"\r\n\r\n")[2] for one in requests]
    exports = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    resources = [one for export in exports for one in export.resource_spans]
    return [span for one in resources for scope in one.scope_spans for span in scope.spans]


def traced_to(port: int) -> dict[str, str]:
    """Settings to trace, and what would have FastAPI trace, measure and log by itself."""
    endpoint = f"http://127.0.0.1:{port}"
    more = {"FASTAPI_OTEL_AUTO_CONFIGURE": "true", "LOG_LEVEL": "debug"}
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint} | more
