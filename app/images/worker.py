"""The worker process: reads files from the socket that is its stdin, and answers there.

Run as `python -m app.images.worker MEMORY_BYTES TIMEOUT_S MAX_PIXELS MAX_SIDE`; 0 is no limit. A
hostile picture can use up this process's memory and time, and nothing else of the service's.
"""

import contextlib
import fcntl
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from app.images.messages import ANSWER, REQUEST, Code

SOCKET = 0
NICENESS = 10
"""The service's event loop goes first where there are few processors."""

ALARM_AFTER_S = 2
"""Later than the service's own deadline: only a service that hangs lets it come to this."""

REASON_MAX_CHARS = 300


def main() -> None:
    """Answer until the service goes, or until a picture used up the memory."""
    memory_bytes, timeout_s, max_pixels, max_side = (int(text) for text in sys.argv[1:5])
    files = sys.stdin.buffer
    os.nice(NICENESS)
    from app.images.decode import Refused, prepare  # noqa: PLC0415 - at the lower priority

    restrict(memory_bytes)
    answer(Code.READY, b"")
    while file := read_request(files):
        die_with_service(timeout_s)
        try:
            code, out = Code.PREPARED, prepare(file, max_pixels=max_pixels, max_side=max_side)
        except Refused as refused:
            code, out = refused.code, refused.content
        except MemoryError:
            code, out = Code.TOO_COMPLEX, b""
        except Exception as exc:  # noqa: BLE001 - decoders raise anything
            code, out = Code.UNREADABLE, f"{type(exc).__name__}: {exc}"[:REASON_MAX_CHARS].encode()
        del file
        live_on()
        answer(code, out)
        if code is Code.TOO_COMPLEX:
            return  # A failed allocation may have left anything behind.


def restrict(memory_bytes: int) -> None:
    """Bound this process; called after the imports, whose memory counts too."""
    if sys.platform == "linux":  # macOS knows RLIMIT_AS, and refuses every value.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        with contextlib.suppress(OSError):  # The first to go when the container's memory is gone.
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    fcntl.fcntl(SOCKET, fcntl.F_SETOWN, os.getpid())
    # What a C library prints about a picture is no line of the service's log.
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())


def die_with_service(timeout_s: int) -> None:
    """From now on SIGIO ends this process when the service goes, SIGALRM when the time is up.

    Both end it by their default action, also in the middle of C code.
    """
    flags = fcntl.fcntl(SOCKET, fcntl.F_GETFL)
    fcntl.fcntl(SOCKET, fcntl.F_SETFL, flags | os.O_ASYNC)
    signal.alarm(timeout_s + ALARM_AFTER_S if timeout_s else 0)
    poll = select.poll()
    poll.register(SOCKET, 0)
    if poll.poll(0):  # It went before it could be signalled.
        sys.exit()


def live_on() -> None:
    """Undo `die_with_service`: the next request is no reason to die."""
    flags = fcntl.fcntl(SOCKET, fcntl.F_GETFL)
    fcntl.fcntl(SOCKET, fcntl.F_SETFL, flags & ~os.O_ASYNC)
    signal.alarm(0)


def read_request(files: BinaryIO) -> bytes:
    """Return the next file; empty when the service has gone."""
    head = files.read(REQUEST.size)
    if len(head) < REQUEST.size:
        return b""
    (n_bytes,) = REQUEST.unpack(head)
    file = files.read(n_bytes)
    return file if len(file) == n_bytes else b""


def answer(code: Code, content: bytes) -> None:
    """Write one answer."""
    unsent = memoryview(ANSWER.pack(code, len(content)) + content)
    while unsent:
        unsent = unsent[os.write(SOCKET, unsent) :]


if __name__ == "__main__":
    main()
