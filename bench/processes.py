"""Servers as child processes, each on its cores and ended by its id; their CPU and memory."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
END_S, POLL_S = 10.0, 0.05
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")  # no setting of the caller
CPUCLOCK_SCHED = 2  # of a process's CPU clock, in ns (clock_getcpuclockid(3))


class ServerFailed(Exception):
    """A server ended, or never answered; the text has the end of its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A command, the port and path that answer once it is ready, and its environment."""

    command: list[str]
    port: int
    ready: str
    env: dict[str, str] = field(default_factory=dict)
    within_s: float = 60


@contextmanager
def serving(server: Server, *, cores: set[int], log: Path) -> Iterator[int]:
    """Run a server on these cores, in its log's folder; yields its id, or raises ServerFailed."""
    env = {name: os.environ[name] for name in INHERITED if name in os.environ} | server.env
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # which a process that is started inherits
    with log.open("a", encoding="utf-8") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is made here, not read
            server.command, stdout=output, stderr=output, cwd=log.parent, env=env
        )
    os.sched_setaffinity(0, before)
    try:
        until_s = time.monotonic() + server.within_s
        while not _answers(server.port, server.ready):
            if process.poll() is not None or time.monotonic() > until_s:
                raise ServerFailed(f"{' '.join(server.command)}: {log.read_text()[-2_000:]}")
            time.sleep(POLL_S)
        yield process.pid
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        process.kill()  # nothing happens if it has ended
        process.wait()


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
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


def main_thread_s(pid: int) -> float:
    """CPU seconds used so far by a process's main thread, where its event loop runs (proc(5))."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def memory_bytes(pid: int) -> int:
    """Resident memory of one process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def _answers(port: int, path: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).is_success
    return False
