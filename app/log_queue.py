"""Log lines leave by a thread of their own: a pipe that nobody reads must not stop the event loop.

A line is made where it is logged, whose context it needs, and queued; what finds the queue full is
dropped and counted.
"""

import logging
import os
import sys
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue
from threading import Thread

from prometheus_client import Counter

QUEUE_MAX_LINES = 2_048
"""At most 16 MiB."""

LINE_MAX_BYTES = 8_192

LAST_LINES_S = 1
"""How long the last lines may take at the end of the process."""

dropped = Counter(
    "imagesearch_log_dropped_total", "Log lines dropped, as nobody read them.", registry=None
)
"""Of the process: every registry of metrics shows it."""


class LogQueue(QueueHandler):
    """Queues formatted lines of at most `LINE_MAX_BYTES` for a thread that writes to stdout."""

    queue: Queue[logging.LogRecord]

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__(Queue(QUEUE_MAX_LINES))
        self.setFormatter(formatter)
        self._listener = _Writer(self.queue)
        self._listener.start()

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its middle where it is too long."""
        return shortened(super().format(record), LINE_MAX_BYTES)

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a line, or drop it: nobody waits."""
        try:
            self.queue.put_nowait(record)
        except Full:
            dropped.inc()

    def finish(self) -> None:
        """Let the last lines be written; a pipe that nobody reads does not hold up the exit."""
        ending = Thread(target=self._end, daemon=True)
        ending.start()
        ending.join(LAST_LINES_S)

    def _end(self) -> None:
        self.queue.join()
        self._listener.stop()


class _Writer(QueueListener):
    """Writes without a handler or a buffer, whose locks a stalled write would hold at the exit."""

    def handle(self, record: logging.LogRecord) -> None:
        """Write one line."""
        line = f"{record.getMessage()}\n".encode(errors="backslashreplace")
        try:
            while line:
                line = line[os.write(sys.stdout.fileno(), line) :]
        except OSError:
            dropped.inc()


def shortened(text: str, most_bytes: int) -> str:
    """The text, or its beginning and end, in so many bytes of UTF-8."""
    data = text.encode(errors="backslashreplace")
    if len(data) <= most_bytes:
        return text
    half = max(1, most_bytes // 2 - 2)
    return f"{data[:half].decode(errors='ignore')}…{data[-half:].decode(errors='ignore')}"
