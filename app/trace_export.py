"""Sends spans to a collector (OTLP over HTTP), where the environment names one.

A collector that is slow or gone delays nothing: a thread sends, within bounds of time and memory,
and what finds its queue full is dropped.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from pydantic_settings import DotEnvSettingsSource

from app.settings import Settings
from app.tracing import NAME, Tracing

if TYPE_CHECKING:  # Of the extra `otel`.
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
TIMEOUT_S = 3
"""Longest export, repetitions included, unless the environment says otherwise."""
STOP_S = 1
"""How long the last spans may take at the end of the process."""


@contextmanager
def exporting(tracing: Tracing, version: str) -> Iterator[None]:
    """Trace meanwhile, if an endpoint is configured; `.env` may hold the variables too."""
    for name, value in DotEnvSettingsSource(Settings).env_vars.items():
        if name.startswith("otel_") and value:
            os.environ.setdefault(name.upper(), value)
    provider = _provider(version) if any(map(os.environ.get, ENDPOINTS)) else None
    if provider is None:
        yield
        return
    tracing.tracer = provider.get_tracer(NAME, version)
    try:
        yield
    finally:
        tracing.tracer = None
        stopping = Thread(target=provider.shutdown, daemon=True)
        stopping.start()
        stopping.join(STOP_S)


def _provider(version: str) -> "TracerProvider | None":
    """The SDK as the `OTEL_*` variables configure it; what traces nothing does not load it."""
    try:
        from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415
        from opentelemetry.sdk import resources, trace  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        logger.warning("OTEL_EXPORTER_OTLP_*: without the extra 'otel' no traces are sent")
        return None
    own = resources.Resource.create({"service.name": NAME, "service.version": version})
    resource = own.merge(resources.OTELResourceDetector().detect())
    timeout_s = None if any(map(os.environ.get, TIMEOUTS)) else TIMEOUT_S
    provider = trace.TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = trace_exporter.OTLPSpanExporter(timeout=timeout_s)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
