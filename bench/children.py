"""The bench's child processes: each on one core, each ended by its id whatever happens."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED = str(ROOT / "bench" / "pinned.py")
OWN = {"PYTHONPATH": str(ROOT)}
"""For a child that runs modules of this checkout, away from whose `.env` it runs."""

END_S = 10.0
"""To end after being asked; then it is killed."""

POLL_S = 0.05
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
"""Of the environment; settings of whoever runs the bench must not change what it measures."""


class Died(Exception):
    """A child ended, or never answered; the text has what it wrote last."""


@contextmanager
def child(
    command: Sequence[str], *, core: int, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a command on one core, its errors in `log`; its input and output are pipes.

    Its standard input stays open as long as this process lives, which tells it when to end.
    """
    given = {name: os.environ[name] for name in KEPT if name in os.environ} | dict(env or {})
    with log.open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(  # noqa: S603 - the command is made here, not read
            [sys.executable, "-P", PINNED, str(core), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=log.parent,
            env=given,
        )
    with process:
        try:
            yield process
        finally:
            _end(process)


@contextmanager
def serving(
    command: Sequence[str],
    *,
    core: int,
    log: Path,
    url: tuple[int, str],
    env: Mapping[str, str] | None = None,
    within_s: float = 60,
) -> Iterator[int]:
    """Run a server, everything it writes in `log`, until it answers `url`: a port and a path.

    Yields its process id.

    Raises:
        Died: It ended or did not answer in time.
    """
    shell = ["/bin/sh", "-c", 'log="$0"; exec "$@" >>"$log" 2>&1', str(log), *command]
    with child(shell, core=core, log=log, env=env) as process:
        _until_it_answers(process, url, log=log, within_s=within_s)
        yield process.pid


@contextmanager
def announced(module: str, *, core: int, log: Path) -> Iterator[tuple[int, int]]:
    """Run a module of the bench that tells its port; yields process id and port."""
    with child([sys.executable, "-m", module], core=core, log=log, env=OWN) as process:
        assert process.stdout  # noqa: S101 - for the type checker
        line = process.stdout.readline()
        if not line:
            raise Died(f"{module} ended: {tail(log)}")
        yield process.pid, int(line)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tail(log: Path) -> str:
    """The last lines of a log."""
    return log.read_text(encoding="utf-8", errors="replace")[-2_000:]


def _until_it_answers(
    process: subprocess.Popen[str], url: tuple[int, str], *, log: Path, within_s: float
) -> None:
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        if process.poll() is not None:
            raise Died(f"it ended: {tail(log)}")
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", url[0], timeout=5)
            connection.request("GET", url[1])
            if connection.getresponse().status < http.client.BAD_REQUEST:
                connection.close()
                return
        time.sleep(POLL_S)
    raise Died(f"it did not answer in {within_s} s: {tail(log)}")


def _end(process: subprocess.Popen[str]) -> None:
    """Ask it to end; kill it when it does not."""
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
