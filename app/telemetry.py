"""What operators see: log lines with their context, and metrics."""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.errors import CallerError, Draining, Overloaded, UpstreamError, leaves

request_id: ContextVar[str] = ContextVar("request_id", default="")
search_id: ContextVar[str] = ContextVar("search_id", default="")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # Variable: where several processes keep metrics.

REFUSALS = (CallerError, Overloaded, Draining)
"""Errors that are counted as refusals; the others are failures of requests that were accepted."""

QUIETED = ("httpx", "httpcore", "urllib3", "asyncio", "PIL", "python_multipart", "sse_starlette")
"""Loggers of libraries whose debug and info logs hold URLs, answers, or metadata of pictures."""

LINE_MAX_BYTES, QUEUE_MAX_LINES = 8_192, 2_048  # Of the log: at most 16 MiB wait to be written.

dropped = Counter("imagesearch_log_dropped_total", "Log lines that nobody read.", registry=None)
"""Of the process: every registry of metrics shows it."""


class Timing:
    """How long a request's phases took; its text is the value of `Server-Timing`."""

    def __init__(self) -> None:
        self.ended_at_s, self.phases_s = time.perf_counter(), dict[str, float]()

    def __str__(self) -> str:
        return ", ".join(f"{phase};dur={s * 1_000:.1f}" for phase, s in self.phases_s.items())


timing: ContextVar[Timing | None] = ContextVar("timing", default=None)
"""Of the request. A run's task notes its phases in that of the request that started it."""


def lap(phase: str) -> None:
    """Add the time since the last call to this phase of the request."""
    if running := timing.get():
        began_at_s, running.ended_at_s = running.ended_at_s, time.perf_counter()
        running.phases_s[phase] = running.phases_s.get(phase, 0) + running.ended_at_s - began_at_s


class Metrics:
    """Prometheus metrics; each instance of the service has its own registry."""

    def __init__(self, version: str = "") -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"namespace": "imagesearch", "registry": self.registry}
        live = own | {"multiprocess_mode": "livesum"}
        self.searches = Counter("searches_total", "Searches ended.", ["status", "outcome"], **own)
        self.streams_open = Gauge("streams_open", "Event streams that are being read.", **live)
        self.streams = Counter("streams_total", "Event streams, by end.", ["end"], **own)
        self.runs_active = Gauge("runs_active", "Searches under way.", **live)
        self.upstream_calls = Counter("upstream_calls_total", "Calls, by end.", ["result"], **own)
        self.upstream_retries = Counter("upstream_retries_total", "Retries.", ["reason"], **own)
        short = own | {"buckets": (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 40, 60)}
        # Up to the documented limit of an upstream answer, 300 s, and a margin.
        long = own | {"buckets": (0.5, 1, 2, 5, 10, 20, 40, 60, 90, 120, 180, 310)}
        self.head_s = Histogram("head_seconds", "Request to head, without its body.", **short)
        self.first_event_s = Histogram("first_event_seconds", "Start to first event.", **short)
        self.search_s = Histogram("search_seconds", "Start to end.", **long)
        self.image_s = Histogram("image_seconds", "Preparation of an image.", **short)
        self.image_workers_busy = Gauge("image_workers_busy", "Workers decoding an image.", **live)
        self.tool_calls = Counter("tool_calls_total", "Calls of the search tool.", **own)
        self.tokens = Counter("tokens_total", "Tokens, as upstream counts.", ["direction"], **own)
        self.spend_cny = Counter("spend_cny_total", "Money spent, in CNY.", ["client"], **own)
        self.resumes = Counter("resumes_total", "Streams followed again.", ["where"], **own)
        self.cache = Counter("cache_total", "Requests by where the answer is.", ["result"], **own)
        self.rejected = Counter("rejected_total", "Requests refused, by error.", ["code"], **own)
        least = own | {"multiprocess_mode": "livemin"}
        self.redis_up = Gauge("redis_up", "Whether it answers.", **least | {"registry": None})
        self.store_bytes = Gauge("store_bytes", "Bytes of events in memory.", **live)
        self.registry.register(dropped)
        Gauge("build_info", "1, with the version.", ["version"], **least).labels(version).set(1)
        # What is not there before it first happens has no increase.
        for code in ("ok", "cancelled", *(kind.code for kind in leaves(UpstreamError))):
            self.upstream_calls.labels(code)
        for kind in leaves():
            if issubclass(kind, REFUSALS):
                self.rejected.labels(kind.code)
            if not issubclass(kind, CallerError):
                self.searches.labels("failed", kind.code)
        for end in ("ended", "left", "cut"):
            self.streams.labels(end)
        self.refresh: Callable[[], None] = lambda: None  # Sets the gauges of what has a state.

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format; of several processes, those of all."""
        self.refresh()
        registry = self.registry
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    async def keep_fresh(self) -> None:
        """Refresh the metrics that another process shows."""
        while SHARED_FOLDER in os.environ:
            self.refresh()
            await asyncio.sleep(1)


class LogQueue(QueueHandler):
    """Makes lines where they are logged, whose context they need; drops what finds no room."""

    def __init__(self, lines: Queue[Any], *, as_json: bool) -> None:
        super().__init__(lines)
        self._as_json = as_json

    def prepare(self, record: logging.LogRecord) -> Any:
        """The line; where it would be too long, its longest texts are shortened."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **{one.name: one.get() for one in (request_id, search_id, trace_id) if one.get()},
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["trace"] = logging.Formatter().formatException(record.exc_info)
        most_chars = LINE_MAX_BYTES
        while len(line := self._line(fields)) > LINE_MAX_BYTES:
            most_chars //= 2
            fields = {name: _shortened(value, most_chars) for name, value in fields.items()}
        return line

    def _line(self, fields: dict[str, Any]) -> bytes:
        """One JSON object or, for reading, a head, the other fields as JSON, and a trace."""
        rest, head, trace = fields.copy(), "", "\n"
        if not self._as_json:
            head = "".join(f"{rest.pop(name)} " for name in ("time", "level", "logger", "event"))
            trace = f"\n{rest.pop('trace')}\n" if "trace" in rest else "\n"
        text = json.dumps(rest, ensure_ascii=False, default=str)
        return (f"{head}{text}".removesuffix(" {}") + trace).encode(errors="backslashreplace")

    def enqueue(self, record: Any) -> None:
        try:
            self.queue.put_nowait(record)
        except Full:
            dropped.inc()


def _shortened(value: Any, most_chars: int) -> Any:
    text, half = str(value), max(1, most_chars // 2)
    return value if len(text) <= most_chars else f"{text[:half]}…{text[-half:]}"


class LogWriter(QueueListener):
    """Writes lines to stdout in a thread: a pipe that nobody reads must not stop the event loop."""

    def handle(self, record: Any) -> None:
        """Write one, without a buffer or a lock, which a stalled write would hold at the exit."""
        try:
            while record:
                record = record[os.write(sys.stdout.fileno(), record) :]
        except OSError:
            dropped.inc()


@contextmanager
def logging_to_stdout(*, level: str, as_json: bool) -> Iterator[None]:
    """Send the logs of the service and the server to stdout, in one form."""
    lines = Queue[Any](QUEUE_MAX_LINES)
    LogWriter(lines).start()
    handler = LogQueue(lines, as_json=as_json)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIETED:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        wait_briefly(lines.join)


def wait_briefly(work: Callable[[], object]) -> None:
    """Give it a second at the end of the process, which a stalled pipe or peer does not hold up."""
    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(1)
