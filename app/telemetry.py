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
"""Up to the documented limit of an upstream answer, 300 s, and a margin."""

QUIET_LOGGERS = ("httpx", "httpcore", "asyncio", "PIL", "python_multipart", "sse_starlette")
"""Libraries whose debug and info logs hold URLs, answers, or metadata of pictures."""


def make_request_id() -> str:
    """An id for a request that came without one: 96 random bits."""
    return f"req_{secrets.token_hex(12)}"


class Metrics:
    """Prometheus metrics; each instance of the service has its own registry."""

    def __init__(self, version: str = "") -> None:
        self.registry = CollectorRegistry()
        self.searches = self._counter("searches_total", "Searches ended.", "status", "outcome")
        self.streams_open = self._gauge("streams_open", "Event streams that are being read.")
        self.runs_active = self._gauge("runs_active", "Searches under way.")
        self.upstream_calls = self._counter(
            "upstream_calls_total", "Upstream calls that were written, by their end.", "result"
        )
        self.upstream_retries = self._counter(
            "upstream_retries_total", "Upstream calls that were repeated, by error.", "reason"
        )
        self.first_event_s = self._histogram(
            "first_event_seconds",
            "From the start of a search to its first upstream event.",
            FIRST_EVENT_BUCKETS_S,
        )
        self.search_s = self._histogram(
            "search_seconds", "From the start of a search to its end.", SEARCH_BUCKETS_S
        )
        self.tool_calls = self._counter("tool_calls_total", "Calls of the search tool.")
        self.tokens = self._counter("tokens_total", "Tokens, as the upstream counts.", "direction")
        self.spend_cny = self._counter("spend_cny_total", "Money spent, in CNY.", "client")
        self.cache = self._counter("cache_total", "Requests by where the answer is from.", "result")
        self.rejected = self._counter("rejected_total", "Requests refused, by error.", "code")
        self.store_bytes = self._gauge("store_bytes", "Bytes of events in memory.")
        build_info = self._gauge("build_info", "1, with the version.", "version")
        build_info.labels(version).set(1)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(f"imagesearch_{name}", description, labels, registry=self.registry)

    def _gauge(self, name: str, description: str, *labels: str) -> Gauge:
        return Gauge(f"imagesearch_{name}", description, labels, registry=self.registry)

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(
            f"imagesearch_{name}", description, buckets=buckets, registry=self.registry
        )


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
    """The same for reading; the fields are JSON, so that no value breaks the line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """The line before any trace."""
        line = super().formatMessage(record)
        fields = _fields(record)
        return f"{line} {json.dumps(fields, ensure_ascii=False, default=str)}" if fields else line


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The context that is set, and the record's own fields."""
    context = {"request_id": request_id.get(), "search_id": search_id.get()}
    known = {name: value for name, value in context.items() if value}
    return known | getattr(record, "fields", {})


def configure_logging(*, level: str, as_json: bool) -> None:
    """Send the logs of the service and the server to stdout, in one form."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


class PathsOnly(logging.Filter):
    """Cuts the query off the addresses in a record: that of a GET stream may hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        if isinstance(record.args, tuple):
            record.args = tuple(_without_query(value) for value in record.args)
        return True


def _without_query(value: object) -> object:
    if isinstance(value, str) and value.startswith("/"):
        return value.partition("?")[0]
    return value


PATHS_ONLY = PathsOnly()


def keep_queries_out() -> None:
    """Have uvicorn log paths without queries, where its logging is not configured by us."""
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).addFilter(PATHS_ONLY)
