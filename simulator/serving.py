"""Serving an application on loopback: inside a running loop for tests, or as a process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.applications import Starlette

_BACKLOG: Final = 2048
# Longer than clients pool connections for, so that none is closed just as it is taken again.
_KEEP_ALIVE_S: Final = 75
# What is still open after `hang_up` would only be an application of another kind.
_GRACE_S: Final = 5


class LoopServer(uvicorn.Server):
    """uvicorn without its own signal handling, which would raise the signal again at the end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell who waits for it."""
        await super().startup(sockets=sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def main_loop(self) -> None:
        """Keep uvicorn's ticks, but stop as soon as told and not a tick later."""
        ticks = 0
        while not self.should_exit:
            await self.on_tick(ticks)
            ticks = (ticks + 1) % 864_000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End without uvicorn's fixed pauses, which would be most of a short test's time."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _, late = await asyncio.wait(self.server_state.tasks, timeout=_GRACE_S)
            for task in late:
                task.cancel()
        await self.lifespan.shutdown()

    def stop(self) -> None:
        """Stop serving soon."""
        self.should_exit = True
        self.stopping.set()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is a free one.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that bear its number,
    # and without it small events wait some 40 ms for the other side's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def make_server(app: Starlette) -> LoopServer:
    """A quiet server for the application."""
    config = uvicorn.Config(
        app,
        # Plain logging: an error shows on stderr, and in a test's captured log.
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    return LoopServer(config)


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    """Serve on a free port of 127.0.0.1 in the running loop; yields `http://127.0.0.1:PORT`.

    At the end, an application with `state.hang_up` is told to break its open calls first.
    """
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        server = make_server(app)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.ready.wait()
            yield f"http://127.0.0.1:{port}"
        finally:
            _hang_up(app)
            server.stop()
            await task


async def serve_until_signal(
    app: Starlette, listener: socket.socket, ready: Callable[[], None]
) -> None:
    """Serve until SIGTERM or SIGINT, then break open calls and return."""
    server = make_server(app)

    def stop() -> None:
        _hang_up(app)
        server.stop()

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await server.ready.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    ready()
    await task


def _hang_up(app: Starlette) -> None:
    hang_up: Callable[[], None] | None = getattr(app.state, "hang_up", None)
    if hang_up is not None:
        hang_up()
