"""Serves an application on loopback: in a running loop for tests, or as a process."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette

_BACKLOG: Final = 2048
# Longer than clients keep idle connections, so that none is closed just as it is used again.
_KEEP_ALIVE_S: Final = 75
_SHUTDOWN_LIMIT_S: Final = 5


class LoopServer(uvicorn.Server):
    """A uvicorn server in somebody else's loop: it leaves signals alone, and stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def main_loop(self) -> None:
        """Wait until `stop` is called, without a timer: the clock of a test may skip pauses."""
        await self.on_tick(0)
        self.ready.set()
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close without uvicorn's fixed pauses, which would be most of a short test's time."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if tasks := set(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=_SHUTDOWN_LIMIT_S)
            for task in late:
                task.cancel()
        await self.lifespan.shutdown()

    def stop(self) -> None:
        """Stop serving soon."""
        self.stopping.set()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is a free one. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    created = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that have its number;
    # without it small events wait some 40 ms for the other side's acknowledgement.
    number = created.detach()
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=number)


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    """Serve on a free port of 127.0.0.1; yields `http://127.0.0.1:PORT`.

    At the end, the open calls of an application with `state.hang_up` are broken first.
    """
    with listen("127.0.0.1", 0) as listener:
        async with _running(app, listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def serve_until_signal(app: Starlette, listener: socket.socket, ready: str) -> None:
    """Print `ready`, serve until SIGTERM or SIGINT, then break open calls and return."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    async with _running(app, listener):
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        sys.stdout.write(f"{ready}\n")
        sys.stdout.flush()
        await stopped.wait()


@asynccontextmanager
async def _running(app: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    quiet: Any = {"log_config": None, "log_level": "error", "access_log": False}
    config = uvicorn.Config(app, timeout_keep_alive=_KEEP_ALIVE_S, date_header=False, **quiet)
    server = LoopServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.ready.wait()
        yield
    finally:
        if hasattr(app.state, "hang_up"):
            app.state.hang_up()
        server.stop()
        await task
