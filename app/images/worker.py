"""The worker process: reads files from the socket that is its stdin, and answers there.

Run as `python -m app.images.worker MEMORY_BYTES TIMEOUT_S MAX_PIXELS MAX_SIDE`; 0 is no limit.
"""

import contextlib
import os
import resource
import signal
import socket
import sys
from pathlib import Path

from app.images.messages import ANSWER, REQUEST, Code

NICENESS = 5  # The event loop goes first.
ALARM_AFTER_S = 2  # Behind the service's own deadline, should the service hang or be killed.
PROC = {"oom_score_adj": "1000", "autogroup": str(NICENESS)}  # First to be killed; see sched(7).


def main() -> None:
    """Answer until the service goes, or until a picture used up the memory."""
    memory_bytes, timeout_s, max_pixels, max_side = (int(text) for text in sys.argv[1:5])
    os.nice(NICENESS)
    from app.images.decode import prepare  # noqa: PLC0415 - with that priority

    restrict(memory_bytes)
    service = socket.socket(fileno=0)
    service.sendall(ANSWER.pack(Code.READY, 0))
    while len(head := sys.stdin.buffer.read(REQUEST.size)) == REQUEST.size:
        file = sys.stdin.buffer.read(*REQUEST.unpack(head))
        signal.alarm(timeout_s + ALARM_AFTER_S if timeout_s else 0)  # Ends C code too.
        try:
            code, content = prepare(file, max_pixels, max_side)
        except MemoryError:
            return  # It may have left anything behind; the service sees the end.
        except Exception as exc:  # noqa: BLE001 - decoders raise anything
            code, content = Code.UNREADABLE, f"{type(exc).__name__}: {exc}".encode()[:300]
        del file
        signal.alarm(0)
        service.sendall(ANSWER.pack(code, len(content)) + content)


def restrict(memory_bytes: int) -> None:
    """Bound this process; after the imports, whose address space counts too."""
    if sys.platform == "linux":  # macOS refuses every RLIMIT_AS.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        for name, value in PROC.items():
            with contextlib.suppress(OSError):
                Path("/proc/self", name).write_text(value, encoding="ascii")
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    os.dup2(1, 2)  # What C libraries print of a picture is no line of the service's log.


if __name__ == "__main__":
    main()
