"""Servers as child processes, each on one core and ended by its id; their CPU and memory."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_S, END_S, POLL_S = 60.0, 10.0, 0.05
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
"""Of the environment: the caller's settings must not change what is measured."""

CPUCLOCK_SCHED = 2
"""With a process id it makes the clock of that process's CPU time (clock_getcpuclockid(3)): user
and system time of all threads in nanoseconds, where /proc/PID/stat has ticks of 10 ms."""


class ServerFailed(Exception):
    """A server ended, or never answered; the text has the end of its log."""


@contextmanager
def serving(
    command: Sequence[str],
    *,
    core: int,
    log: Path,
    env: Mapping[str, str],
    url: tuple[int, str],
    within_s: float = START_S,
) -> Iterator[int]:
    """Run a server in its log's folder until `url` (port and path) answers; yields its process id.

    Raises:
        ServerFailed: It ended, or did not answer within `within_s` seconds.
    """
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    with log.open("a", encoding="utf-8") as output, _on_core(core):
        process = subprocess.Popen(  # noqa: S603 - the command is made here, not read
            command, stdout=output, stderr=output, cwd=log.parent, env=kept | dict(env)
        )
    try:
        until_s = time.monotonic() + within_s
        while not _answers(*url):
            if process.poll() is not None or time.monotonic() > until_s:
                raise ServerFailed(f"{' '.join(command)}: {log.read_text()[-2_000:]}")
            time.sleep(POLL_S)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += family(int(child))
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds used so far by the process and its descendants."""
    return sum(time.clock_gettime(~one << 3 | CPUCLOCK_SCHED) for one in family(pid))


def memory_bytes(pid: int) -> int:
    """Resident memory of one process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextmanager
def _on_core(core: int) -> Iterator[None]:
    """Run this thread on `core`: a process started meanwhile inherits that."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status < http.client.BAD_REQUEST
    return False
