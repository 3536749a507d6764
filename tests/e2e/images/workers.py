"""The worker processes of a service, seen from outside (proc(5))."""

import os
import resource
import signal
from collections.abc import Iterable
from pathlib import Path

MODULE = b"app.images.worker"


def workers_of(pid: int | None = None) -> set[int]:
    """The process ids of the workers that a service has; by default, one in this process."""
    found = set()
    for children in Path(f"/proc/{pid or os.getpid()}/task").glob("*/children"):
        for child in children.read_text().split():
            if MODULE in command_of(int(child)):
                found.add(int(child))
    return found


def command_of(pid: int) -> bytes:
    """Empty when there is no such process, or it has ended and nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def alive(pids: Iterable[int]) -> set[int]:
    return {pid for pid in pids if MODULE in command_of(pid)}


def tell(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def cpu_ticks(pid: int) -> int:
    """The processor's time that a process has had, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def environment_of(pid: int) -> list[str]:
    """The names of a process's variables."""
    variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return [variable.partition("=")[0] for variable in variables if variable]


def resident_bytes(pid: int) -> int:
    """What a process has of the memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
