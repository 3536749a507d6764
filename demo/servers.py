"""The demo's servers: child processes that are started, waited for, and ended by their id."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

START_S, END_S, POLL_S, LOG_TAIL_BYTES = 60.0, 10.0, 0.05, 2_000


class ServerFailed(Exception):
    """A server did not start; the text has the end of its output."""


@contextmanager
def server(
    command: Sequence[str], *, env: Mapping[str, str], folder: Path, ready: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m …` in a folder until the URL `ready` answers.

    Raises:
        ServerFailed: It ended, or was not ready within START_S seconds.
    """
    log = folder / f"{command[0]}.log"
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches the demo alone, which then ends its servers.
        process = subprocess.Popen(  # noqa: S603 - the command is made here, not read
            [sys.executable, "-m", *command],
            env=dict(env),
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        until_s = time.monotonic() + START_S
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > until_s:
                text = log.read_text("utf-8", "replace")[-LOG_TAIL_BYTES:]
                raise ServerFailed(f"`python -m {command[0]}` did not start:\n{text}")
            time.sleep(POLL_S)
        yield process
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port(wanted: int) -> int:
    """This port of loopback if nobody listens on it, else another that is free."""
    for port in (wanted, 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
            return int(probe.getsockname()[1])
    raise ServerFailed("No port of 127.0.0.1 is free.")


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(url, trust_env=False).is_success
    return False
