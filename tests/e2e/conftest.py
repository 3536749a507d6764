"""A service that the tests of a module share, and what holds in all tests: no secret is written."""

import logging
from collections.abc import Iterator
from queue import Queue

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.telemetry import LogQueue
from tests.e2e.callers import BLOG_KEY, GUARDED, SECRET, SHOP_KEY
from tests.service import GALLERY_URL, KEY, running, shared

service = shared(running)
"""Open to anybody."""
guarded = shared(running, **GUARDED)
"""With two clients, their tokens, and one page that may ask."""

PRIVATE = (
    *(KEY, SHOP_KEY, BLOG_KEY, SECRET, "eyJ", "access_token"),
    *(";base64,", "[sim ", "%5Bsim", GALLERY_URL, "url.query"),
)
"""Credentials and tokens; pictures, prompts and addresses."""


@pytest.fixture(scope="package")
def exporter() -> Iterator[InMemorySpanExporter]:
    """What gets the spans of every test, those that FastAPI would make too."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    exporter.shutdown()


@pytest.fixture(scope="package")
def lines() -> Iterator[Queue[bytes]]:
    """The log at debug level, as it would be written."""
    lines = Queue[bytes]()
    handler = LogQueue(lines, as_json=True)
    loggers = [logging.getLogger(name) for name in ("app", "uvicorn.error", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    loggers[0].setLevel(logging.DEBUG)
    yield lines
    for logger in loggers:
        logger.removeHandler(handler)
    loggers[0].setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _nothing_private_is_written(
    exporter: InMemorySpanExporter, lines: Queue[bytes]
) -> Iterator[None]:
    """Whatever a test asks for, and however it fails; with what came of the one before it."""
    yield
    written = [lines.get().decode() for _ in range(lines.qsize())]
    written += [span.to_json() for span in exporter.get_finished_spans()]
    exporter.clear()
    for one in written:
        assert [word for word in PRIVATE if word in one] == [], one
