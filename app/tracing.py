"""Traces by OpenTelemetry: made where the environment names an OTLP endpoint, and else not at all.

Names follow OpenTelemetry's conventions for HTTP and for generative AI. No span holds a text of the
caller's: no prompt, address, key or token. `traceparent` (W3C) is taken from callers; the upstream
is sent none. A collector that is slow or gone delays nothing: a thread sends, within bounds.
"""

import logging
import os
import time
from collections.abc import Mapping, MutableMapping
from contextlib import AsyncExitStack
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import NoOpTracer, Span, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import telemetry
from app.models import Event, ResponsesRequest, UpstreamCall
from app.results import SearchResult, SearchResults
from app.settings import dotenv_variables
from app.upstream.answer import CALL, ITEM_ADDED

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]  # ASGI's, of a request.

NAME = "imagesearch-proxy"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SERVER_ERRORS = 500
PROPAGATOR = TraceContextTextMapPropagator()
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "dashscope"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "image_search"}


class Tracing:
    """The source of spans, each under the one of its context: a search's under its request's."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self.tracer: Tracer = provider.get_tracer(NAME) if provider else NoOpTracer()

    def begin_request(self, scope: Scope, traceparent: str) -> Span:
        """The span of a request; what is logged and started meanwhile belongs to it."""
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = self.tracer.start_span(
            method if method in METHODS else "HTTP",
            PROPAGATOR.extract({"traceparent": traceparent}),
            SpanKind.SERVER,
            {"http.request.method": method, "url.scheme": scope["scheme"]},
        )
        context.attach(trace.set_span_in_context(span))
        own = span.get_span_context()
        telemetry.trace_id.set(trace.format_trace_id(own.trace_id) if own.is_valid else "")
        return span

    def export(self, stack: AsyncExitStack, version: str) -> None:
        """Trace until the stack closes, if an endpoint is configured; `.env` counts too."""
        for name, value in dotenv_variables().items():
            if name.startswith("otel_") and value:
                os.environ.setdefault(name.upper(), value)
        named = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{one}ENDPOINT") for one in ("TRACES_", ""))
        if not named or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
            return
        try:  # What traces nothing does not load the SDK.
            from app.trace_export import exporting_provider  # noqa: PLC0415

            provider = exporting_provider(NAME, version)
        except ImportError:
            logger.warning("OTEL_EXPORTER_OTLP_*: without the extra 'otel' no traces are sent")
            return
        except (ValueError, RuntimeError) as exc:
            logger.warning("OTEL_*: no traces are sent: %s", exc)
            return
        stack.callback(telemetry.wait_briefly, provider.shutdown)
        self.tracer = provider.get_tracer(NAME, version)


def end_request(span: Span, scope: Scope, status: int) -> None:
    """End the span of a request; of the path it has the template only."""
    error, route = scope["state"].get("error"), getattr(scope.get("route"), "path", None)
    if route and scope["method"] in METHODS:
        span.update_name(f"{scope['method']} {route}")
    known = {"http.response.status_code": status, "http.route": route}
    # An event stream may fail behind its head.
    _end(span, known, error, failed=(error.status if error else status) >= SERVER_ERRORS)


class CallSpan:
    """The span of one call of the upstream, all attempts together.

    Calls of the tool are taken to end in the order in which they begin.
    """

    def __init__(self, tracer: Tracer, request: ResponsesRequest, call: UpstreamCall) -> None:
        self._tracer, self._request, self._tools = tracer, request, list[Span]()
        self._began_at = time.monotonic()
        known = CHAT | {"gen_ai.request.model": request.model}
        name = f"chat {request.model}"
        call.span = self._span = tracer.start_span(name, None, SpanKind.CLIENT, known)

    def first_event(self) -> None:
        if self._request.stream:
            elapsed_s = time.monotonic() - self._began_at
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", elapsed_s)

    def add(self, event: Event, found: SearchResults | None) -> None:
        """Take in an event, which may begin a call of the tool, or end one with what it found."""
        if event.type == ITEM_ADDED and CALL.encode() in event.data:
            under = trace.set_span_in_context(self._span)
            name = "execute_tool image_search"
            self._tools.append(self._tracer.start_span(name, under, attributes=TOOL))
        elif found and self._tools:
            self._tools[0].set_attribute("imagesearch.results", len(found.results))
            self._tools.pop(0).end()

    def end(self, result: SearchResult) -> None:
        """End it, with what came of it."""
        usage, reasons = result.usage, {"completed": ("stop",), "incomplete": ("length",)}
        known = {
            "gen_ai.request.stream": self._request.stream,
            "gen_ai.request.max_tokens": self._request.max_output_tokens,
            "gen_ai.response.id": result.upstream_response_id,
            "gen_ai.response.model": result.model or None,
            "gen_ai.response.finish_reasons": reasons.get(result.status),
            "gen_ai.usage.input_tokens": usage and usage.input_tokens,
            "gen_ai.usage.output_tokens": usage and usage.output_tokens,
            "imagesearch.outcome": result.outcome,
        }
        for tool in self._tools:
            tool.end()
        _end(self._span, known, result.error, failed=bool(result.error))


def _end(span: Span, known: Mapping[str, Any], error: Any, *, failed: bool) -> None:
    """End a span; attributes are set at once, as each call takes a lock."""
    attributes = {**known, "error.type": error and error.code}
    span.set_attributes({name: one for name, one in attributes.items() if one is not None})
    if failed:
        span.set_status(StatusCode.ERROR)
    span.end()
