"""The service and the stand-in upstream as real processes, each ended by its own process id."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from simulator import Knobs

ROOT = Path(__file__).parent.parent
KEY = Knobs().key
START_S = 60
LISTENS = re.compile(r"(?:listening|[Rr]unning) on (http://[^\s/]+)")


class Process:
    """One process that serves, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._listening: asyncio.Task[None] | None = None
        self.url = ""
        self.lines: list[str] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> None:
        """Wait until it says where it listens, and go on taking down what it says."""
        async with asyncio.timeout(START_S):
            while not self.url:
                line = await self._line()
                assert line, self.said
                if found := LISTENS.search(line):
                    self.url = found[1]
        self._listening = asyncio.create_task(self._listen())

    async def ended(self) -> int:
        """Wait for its end; its exit status, negative for a signal's number."""
        if self._listening:
            await self._listening
        return await self._process.wait()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    async def _listen(self) -> None:
        while await self._line():
            pass

    async def _line(self) -> str:
        assert self._process.stdout
        line = (await self._process.stdout.readline()).decode()
        if line:
            self.lines.append(line.rstrip())
        return line


class Memory:
    """Of one process, above what it takes now, as proc(5) has it."""

    def __init__(self, process: Process) -> None:
        self._folder = Path(f"/proc/{process.pid}")
        (self._folder / "clear_refs").write_text("5")
        self._before_bytes = self._bytes_of("VmRSS:")

    @property
    def peak_bytes(self) -> int:
        return self._bytes_of("VmHWM:") - self._before_bytes

    def _bytes_of(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


@asynccontextmanager
async def started(*command: str, **env: str) -> AsyncIterator[Process]:
    """Run a module of this project under these variables and no other settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", *command),
        cwd="/",  # where no `.env` lies
        env=kept | {"PYTHONPATH": str(ROOT)} | env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**22,
    )
    process = Process(child)
    try:
        await process.ready()
        yield process
    finally:
        if child.returncode is None:
            child.kill()
        await process.ended()


@asynccontextmanager
async def simulator(**knobs: str) -> AsyncIterator[Process]:
    quick = {"SIMULATOR_PACE_S": "0", "SIMULATOR_SILENCE_S": "0"}
    async with started("simulator", "--port", "0", **(quick | knobs)) as process:
        yield process


def in_front_of(upstream_url: str, key: str = KEY) -> dict[str, str]:
    """What a service in front of the stand-in is told at least."""
    url = f"{upstream_url}/compatible-mode/v1"
    return {"DASHSCOPE_API_KEY": key, "DASHSCOPE_BASE_URL": url, "RATE_LIMIT": "0", "PORT": "0"}


@asynccontextmanager
async def service(upstream: Process, **settings: str) -> AsyncIterator[Process]:
    """Run the service in front of the stand-in, as it is shipped."""
    given = in_front_of(upstream.url) | {"ALLOW_ANONYMOUS": "true"}
    async with started("app", **(given | settings)) as process:
        yield process
