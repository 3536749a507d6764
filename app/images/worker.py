"""The worker process: reads files from the socket that is its stdin, and answers there.

Run as `python -m app.images.worker MEMORY_BYTES TIMEOUT_S MAX_PIXELS MAX_SIDE`; 0 is no limit.
"""

import contextlib
import fcntl
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

from app.images.messages import ANSWER, REQUEST, Code

SOCKET, NICENESS = 0, 5
ALARM_AFTER_S = 2  # After the service's own deadline, should it hang.
TRIES, TRY_AGAIN_S = 10, 0.1  # The kernel's interval between such changes, of all processes.


def main() -> None:
    """Answer until the service goes, or until a picture used up the memory."""
    memory_bytes, timeout_s, max_pixels, max_side = (int(text) for text in sys.argv[1:5])
    give_way()
    from app.images.decode import prepare  # noqa: PLC0415 - with that priority

    restrict(memory_bytes)
    answer(Code.READY, b"")
    while len(head := sys.stdin.buffer.read(REQUEST.size)) == REQUEST.size:
        file = sys.stdin.buffer.read(*REQUEST.unpack(head))
        die_with_service(on=True, timeout_s=timeout_s)
        try:
            code, content = prepare(file, max_pixels, max_side)
        except MemoryError:
            return  # It may have left anything behind; the service sees the end.
        except Exception as exc:  # noqa: BLE001 - decoders raise anything
            code, content = Code.UNREADABLE, f"{type(exc).__name__}: {exc}".encode()[:300]
        del file
        die_with_service(on=False)
        answer(code, content)


def give_way() -> None:
    """Let the event loop go first.

    Where Linux shares processors among sessions, and this process has one of its own, niceness
    counts within it only, and the session's beside it (sched(7), autogroup).
    """
    os.nice(NICENESS)
    for _ in range(TRIES):
        try:
            Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")
        except BlockingIOError:
            time.sleep(TRY_AGAIN_S)
        except OSError:
            return  # There are no such groups.
        else:
            return


def restrict(memory_bytes: int) -> None:
    """Bound this process; after the imports, whose address space counts too."""
    if sys.platform == "linux":  # macOS refuses every RLIMIT_AS.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        with contextlib.suppress(OSError):  # The first to go when the container's memory is gone.
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    fcntl.fcntl(SOCKET, fcntl.F_SETOWN, os.getpid())
    os.dup2(1, 2)  # What C libraries print of a picture is no line of the service's log.


def die_with_service(*, on: bool, timeout_s: int = 0) -> None:
    """Let SIGIO end this process when the service goes, and SIGALRM when the time is up.

    Both do so by their default action, in the middle of C code too. Off while requests may come.
    """
    flags = fcntl.fcntl(SOCKET, fcntl.F_GETFL)
    fcntl.fcntl(SOCKET, fcntl.F_SETFL, flags | os.O_ASYNC if on else flags & ~os.O_ASYNC)
    signal.alarm(timeout_s + ALARM_AFTER_S if timeout_s else 0)
    hung_up = select.poll()
    hung_up.register(SOCKET, 0)
    if on and hung_up.poll(0):  # It went before it could be signalled.
        sys.exit()


def answer(code: Code, content: bytes) -> None:
    """Write one answer."""
    with os.fdopen(SOCKET, "wb", closefd=False) as out:
        out.write(ANSWER.pack(code, len(content)) + content)


if __name__ == "__main__":
    main()
