"""The worker processes of a service, seen from outside (proc(5))."""

import os
import resource
import signal
from collections.abc import Iterable
from pathlib import Path

MODULE = "app.images.worker"


def read(pid: int, name: str) -> str:
    """What a file says of a process; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def children_of(pid: int) -> set[int]:
    """The processes that a process has started, of any thread of it."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for one in found for child in one.read_text().split()}


def workers_of(pid: int | None = None) -> set[int]:
    """The process ids of the workers that a service has; by default, one in this process."""
    return {child for child in children_of(pid or os.getpid()) if MODULE in read(child, "cmdline")}


def alive(pids: Iterable[int]) -> set[int]:
    """Those that have not ended; one that has, and was not waited for, is in state Z."""
    return {pid for pid in pids if fields_of(pid)[0] != "Z"}


def fields_of(pid: int) -> list[str]:
    """The fields of `stat` from the state on."""
    return read(pid, "stat").rpartition(")")[2].split() or ["Z"]


def tell(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def cpu_ticks(pid: int) -> int:
    """The processor's time that a process has had, in hundredths of a second."""
    return sum(map(int, fields_of(pid)[11:13]))


def environment_of(pid: int) -> list[str]:
    """The names of a process's variables."""
    return [one.partition("=")[0] for one in read(pid, "environ").split("\0") if one]


def resident_bytes(pid: int) -> int:
    """What a process has of the memory."""
    return int(read(pid, "statm").split()[1]) * resource.getpagesize()
