"""The demo's child processes: started, listened to, and ended by their own process id."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from demo.signals import Signals

START_S: Final = 60.0
# Above the service's own SHUTDOWN_GRACE_S of 1 in the demo.
END_S: Final = 10.0
POLL_S: Final = 0.05
LINES_KEPT: Final = 40


class Died(Exception):
    """A child ended by itself, or did not get ready; the text holds its last output."""


class Child:
    """One process, whose output is kept and not shown."""

    def __init__(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path
    ) -> None:
        self.name = name
        self._lines = collections.deque[str](maxlen=LINES_KEPT)
        # A session of its own: Ctrl-C reaches the demo alone, which then ends its children.
        self._process = subprocess.Popen(  # noqa: S603 - the command is made here, not read
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def says(self, start: str) -> bool:
        """Whether a line that begins like this is among the last ones."""
        return any(line.startswith(start) for line in list(self._lines))

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready.

        Raises:
            Died: It ended first, or START_S seconds passed.
        """
        deadline = time.monotonic() + START_S
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise Died(self._obituary(f"was not ready after {START_S:.0f} s"))
            time.sleep(POLL_S)

    def check(self, within_s: float = 0) -> None:
        """Wait so long for its end, which should not come.

        Raises:
            Died: It has ended.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(within_s)
            self._reader.join(END_S)
            raise Died(self._obituary(f"ended with status {status}"))

    def end(self) -> None:
        """Ask it to end; after END_S seconds make it."""
        with self._process:
            if self._process.poll() is None:
                os.kill(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._reader.join(END_S)

    def _listen(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._lines.append(line.rstrip("\n"))

    def _obituary(self, what: str) -> str:
        said = "\n".join(f"  | {line}" for line in self._lines) or "  | (it said nothing)"
        return f"The {self.name} {what}. Its last output:\n{said}"


class Crew:
    """All children. Leaving the block ends every one that was started, whatever happened."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._signals.ignored():
            for child in reversed(self._children):
                child.end()

    def start(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path
    ) -> Child:
        """Start one more child."""
        with self._signals.held():
            child = Child(name, command, env=env, cwd=cwd)
            self._children.append(child)
        return child

    def watch(self) -> None:
        """Wait for ever.

        Raises:
            Died: A child has ended.
        """
        while True:
            for child in self._children:
                child.check(within_s=0.5)


def free_port(wanted: int) -> int:
    """The port if nobody listens on it at 127.0.0.1, else another that is free now."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            # As the servers do: a port is not taken because its last connections are closing.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")
