"""What operators see: JSON log lines with their context, and metrics."""

import json
import logging
import secrets
import sys
import time
from contextvars import ContextVar
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

request_id: ContextVar[str] = ContextVar("request_id", default="")
search_id: ContextVar[str] = ContextVar("search_id", default="")

FIRST_EVENT_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 40, 60)
SEARCH_BUCKETS_S = (0.5, 1, 2, 5, 10, 20, 40, 60, 90, 120, 180, 310)
"""Up to the documented limit of an upstream answer, 300 s, and its margin."""


def make_request_id() -> str:
    """A name for a request that came without one: 96 random bits."""
    return f"req_{secrets.token_hex(12)}"


class Metrics:
    """Prometheus metrics, each service instance with a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"imagesearch_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"imagesearch_{name}", meaning, registry=registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"imagesearch_{name}", meaning, buckets=buckets, registry=registry)

        self.searches = counter("searches_total", "Searches ended.", "status", "outcome")
        self.streams_open = gauge("streams_open", "Event streams being read.")
        self.runs_active = gauge("runs_active", "Searches under way.")
        self.upstream_calls = counter(
            "upstream_calls_total", "Upstream calls ended, by `ok` or error code.", "result"
        )
        self.upstream_retries = counter(
            "upstream_retries_total", "Upstream calls tried again, by error code.", "reason"
        )
        self.first_event_s = histogram(
            "first_event_seconds",
            "From the start of a search to the first upstream event.",
            FIRST_EVENT_BUCKETS_S,
        )
        self.search_s = histogram(
            "search_seconds", "From the start of a search to its end.", SEARCH_BUCKETS_S
        )
        self.tool_calls = counter("tool_calls_total", "Image searches the model made.")
        self.tokens = counter("tokens_total", "Tokens the upstream counted.", "direction")
        self.spend_cny = counter("spend_cny_total", "Money spent, in CNY.")
        self.cache = counter("cache_total", "Searches by how they were served.", "result")
        self.rejected = counter("rejected_total", "Requests refused, by error code.", "code")
        self.store_bytes = gauge("store_bytes", "Bytes of events held in memory.")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, context, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line feed."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update(_fields(record))
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """The same for the eye: the fields after the event, as JSON, so that no value can break out."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """The line before any trace."""
        line = super().formatMessage(record)
        fields = _fields(record)
        return f"{line} {json.dumps(fields, ensure_ascii=False, default=str)}" if fields else line


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The context that there is, and the record's own fields."""
    context = {"request_id": request_id.get(), "search_id": search_id.get()}
    known = {name: value for name, value in context.items() if value}
    return known | getattr(record, "fields", {})


QUIET = ("httpx", "httpcore", "asyncio", "PIL", "python_multipart", "sse_starlette")
"""Libraries whose finer logs hold URLs, answers, or what stands in a picture, such as where it was
taken."""


def configure_logging(*, level: str, as_json: bool) -> None:
    """Send the service's and the server's logs to stdout, in one form."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for quiet in QUIET:
        logging.getLogger(quiet).setLevel(logging.WARNING)


class PathsOnly(logging.Filter):
    """Cuts the query off the addresses in a record: that of a stream by GET may hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_path_of, record.args))
        return True


def _path_of(value: object) -> object:
    if isinstance(value, str) and value.startswith("/"):
        return value.partition("?")[0]
    return value


PATHS_ONLY = PathsOnly()
SERVERS = ("uvicorn.access", "uvicorn.error")
"""Loggers that write addresses down: of requests, and of attempts at a WebSocket."""


def keep_queries_out() -> None:
    """Have uvicorn, which is not of our making here, log paths only."""
    for server in SERVERS:
        logging.getLogger(server).addFilter(PATHS_ONLY)
