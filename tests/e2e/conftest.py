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


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """What gets the spans of every test, those that FastAPI would make too."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture(autouse=True)
def _nothing_private_is_written(exporter: InMemorySpanExporter) -> Iterator[None]:
    """Whatever a test asks for, and however it fails: at debug level, and traced."""
    logger, lines = logging.getLogger("app"), Queue[bytes]()
    handler = LogQueue(lines, as_json=True)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    exporter.clear()
    yield
    logger.removeHandler(handler)
    spans = [f"{one.name} {one.attributes} {one.events}" for one in exporter.get_finished_spans()]
    for written in (*(line.decode() for line in lines.queue), *spans):
        assert [word for word in PRIVATE if word in written] == [], written
