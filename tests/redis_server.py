"""A real redis-server on a unix socket, ended by its own process id."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.installed import need


class RedisServer:
    """One server with its data in a folder of its own."""

    def __init__(self, path: str, folder: Path, *options: str) -> None:
        self._path, self._folder, self._options = path, folder, options
        self._socket = folder / "redis.sock"
        self.url = f"unix://{self._socket}"

    async def start(self) -> None:
        """Start, or start again with what was saved."""
        options = ("--port", "0", "--unixsocket", str(self._socket), "--dir", str(self._folder))
        self._process = await asyncio.create_subprocess_exec(
            *(self._path, *options, "--save", "", "--appendonly", "no", *self._options),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        while True:
            with suppress(RedisError, OSError):
                await self.ask("PING")
                return

    async def ask(self, *command: Any) -> Any:
        """Send one command as an operator does, and return the answer."""
        connected: Any = Redis.from_url(self.url, protocol=2)
        async with connected as client:
            return await client.execute_command(*command)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def restart(self) -> None:
        """Kill it, and start it again with what was saved."""
        await self.stop(SIGKILL)
        await self.start()

    async def stop(self, number: int = SIGTERM) -> None:
        """End it, also when it is frozen."""
        self.signal(SIGCONT)
        self.signal(number)
        await self._process.wait()


@asynccontextmanager
async def redis_server(*options: str) -> AsyncIterator[RedisServer]:
    """Run a server without persistence; `options` as on its command line."""
    path = need("redis-server", "valkey-server")
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(path, Path(folder), *options)
        await server.start()
        try:
            yield server
        finally:
            with suppress(ProcessLookupError):
                await server.stop(SIGKILL)


class LateAnswers:
    """A TCP port in front of Redis, which holds back answers, or commands, with a certain text."""

    def __init__(self) -> None:
        self.port = 0
        self.held_back = self.held_command = b""
        self.delay_s = 1.5

    async def forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65_536):
                held = self.held_back if answers else self.held_command
                if held and held in data:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
        writer.close()


@asynccontextmanager
async def late_answers(redis: RedisServer) -> AsyncIterator[LateAnswers]:
    """Stand between a replica and Redis."""
    late = LateAnswers()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, commands = await asyncio.open_unix_connection(redis.url.removeprefix("unix://"))
        there = late.forward(reader, commands, answers=False)
        await asyncio.gather(there, late.forward(answers, writer, answers=True))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        late.port = server.sockets[0].getsockname()[1]
        yield late
