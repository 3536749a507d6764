"""Traces by OpenTelemetry: made where the environment names an OTLP endpoint, and else not at all.

Names follow OpenTelemetry's conventions for HTTP and for generative AI. No span holds a text of the
caller's: no prompt, address, key or token. `traceparent` (W3C) is taken from callers; the upstream
is sent none.
"""

import time
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from app import telemetry
from app.models import Event, ResponsesRequest, SearchSpec, UpstreamCall
from app.results import SearchResult, SearchResults
from app.upstream.answer import CALL, ITEM_ADDED

NAME = "imagesearch-proxy"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SERVER_ERRORS = 500
PROPAGATOR = TraceContextTextMapPropagator()
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "image_search"}
FINISH_REASONS = {"completed": ("stop",), "incomplete": ("length",)}


Scope = MutableMapping[str, Any]
"""ASGI's, of a request."""


Known = Mapping[str, AttributeValue]
"""Attributes by name; `None` where one is not known. Set at once: each call takes a lock."""


class RequestTrace(NamedTuple):
    """What makes the spans of a request's work, and the span that they stand under."""

    tracer: Tracer
    span: Span


current: ContextVar[RequestTrace | None] = ContextVar("trace", default=None)
"""That of the request. A run's task has the one of the request that started it."""


class Tracing:
    """The source of spans; none are made without a `tracer`."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self.tracer = provider.get_tracer(NAME) if provider else None

    def begin_request(self, scope: Scope, traceparent: str) -> Span:
        """The span of a request; what is logged and started meanwhile belongs to it."""
        if self.tracer is None:
            return INVALID_SPAN
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = self.tracer.start_span(
            method if method in METHODS else "HTTP",
            PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else None,
            SpanKind.SERVER,
            {"http.request.method": method, "url.scheme": scope["scheme"]},
        )
        current.set(RequestTrace(self.tracer, span))
        telemetry.trace_id.set(trace.format_trace_id(span.get_span_context().trace_id))
        return span


def end_request(span: Span, scope: Scope, status: int) -> None:
    """End the span of a request; of the path it has the template only."""
    if not span.is_recording():
        return
    error, route = scope["state"].get("error"), getattr(scope.get("route"), "path", None)
    if route and scope["method"] in METHODS:
        span.update_name(f"{scope['method']} {route}")
    if status >= SERVER_ERRORS:
        span.set_status(StatusCode.ERROR)
    code = error.code if error else None
    known = {"http.response.status_code": status, "http.route": route, "error.type": code}
    span.set_attributes(_without_none(known))
    span.end()


class CallSpan:
    """The span of one call of the upstream, all attempts together. Without a trace: nothing.

    Calls of the tool are taken to end in the order in which they begin.
    """

    def __init__(self, request: SearchSpec | ResponsesRequest, call: UpstreamCall) -> None:
        self._span: Span = INVALID_SPAN
        self._tools: list[Span] = []
        self._began_at = time.monotonic()
        if under := current.get():
            self._tracer = under.tracer
            context = trace.set_span_in_context(under.span)
            streams = request.stream if isinstance(request, ResponsesRequest) else True
            known: Known = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "dashscope",
                "gen_ai.request.model": request.model,
                "gen_ai.request.stream": streams,
                "gen_ai.request.max_tokens": request.max_output_tokens,
            }
            self._span = call.span = self._tracer.start_span(
                f"chat {request.model}", context, SpanKind.CLIENT, _without_none(known)
            )

    def first_event(self) -> None:
        """The first event has come."""
        elapsed_s = time.monotonic() - self._began_at
        self._span.set_attribute("gen_ai.response.time_to_first_chunk", elapsed_s)

    def add(self, event: Event, found: SearchResults | None) -> None:
        """Take in an event, which may begin a call of the tool, or end one with what it found."""
        if not self._span.is_recording():
            return
        if event.type == ITEM_ADDED and CALL.encode() in event.data:
            context = trace.set_span_in_context(self._span)
            tool = self._tracer.start_span("execute_tool image_search", context, attributes=TOOL)
            self._tools.append(tool)
        elif found and self._tools:
            self._tools[0].set_attribute("imagesearch.results", len(found.results))
            self._tools.pop(0).end()

    def end(self, result: SearchResult) -> None:
        """End it, with what came of it."""
        if not self._span.is_recording():
            return
        usage, error = result.usage, result.error
        known: Known = {
            "gen_ai.response.id": result.upstream_response_id,
            "gen_ai.response.model": result.model,
            "gen_ai.response.finish_reasons": FINISH_REASONS.get(result.status),
            "gen_ai.usage.input_tokens": usage.input_tokens if usage else None,
            "gen_ai.usage.output_tokens": usage.output_tokens if usage else None,
            "imagesearch.outcome": result.outcome,
            "error.type": error.code if error else None,
        }
        self._span.set_attributes(_without_none(known))
        if error:
            self._span.set_status(StatusCode.ERROR)
        for span in (*self._tools, self._span):
            span.end()


def _without_none(attributes: Known) -> Known:
    return {name: value for name, value in attributes.items() if value is not None}
