"""uvicorn on a listening socket of our own, with a shutdown that lets searches end.

On SIGTERM or SIGINT the listener stays open while searches drain, so that `/readyz` says 503 and
new searches are refused as `draining`; then uvicorn stops as usual and the process exits with 0.
By itself uvicorn closes the listener first and tells its streams nothing.
"""

import asyncio
import logging
import signal
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app.settings import Settings, SettingsError, load

logger = logging.getLogger("app.server")

LAST_EVENTS_S = 5
"""uvicorn's own grace, after the drain's: time to send the last events."""

KEEP_ALIVE_S = 75
"""How long a trusted proxy's connection may be idle. Proxies close theirs sooner, most of them
after 60 s, and so never send a request into a connection that is closing."""

BACKLOG = 2_048

NOT_SENT_LOWAT_BYTES = 16_384
"""Unsent bytes in the kernel beyond which a socket is not writable: a reader that stalls holds
0.2 MB instead of up to 3.9 MB."""

INT_MAX = 2**31 - 1


class DrainingServer(uvicorn.Server):
    """Serves until a signal, drains for `grace_s` at most, then stops; a second ends the grace.

    A worker drains too when nobody holds the other end of its `parent_pipe` any more.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        grace_s: float,
        *,
        parent_pipe: int | None = None,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._grace_s = grace_s
        self._parent_pipe = parent_pipe
        self._drain_task: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; from then on SIGHUP has the client keys read again."""
        await super().startup(sockets)
        if hangup := getattr(signal, "SIGHUP", None):  # Not every system has it.
            asyncio.get_running_loop().add_signal_handler(hangup, self._read_keys_again)
        if self._parent_pipe is not None:
            asyncio.get_running_loop().add_reader(self._parent_pipe, self._on_orphaned)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin the drain. uvicorn calls this from its signal handler, while its loop runs."""
        asyncio.get_running_loop().call_soon_threadsafe(self._on_signal)

    def _on_orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._parent_pipe or 0)
        self._on_signal()

    def _on_signal(self) -> None:
        self.force_exit = self.should_exit
        if not self.started:
            self.should_exit = True
            return
        grace_s = self._grace_s
        if self._drain_task:
            self._drain_task.cancel()
            grace_s = 0
        self._drain_task = asyncio.create_task(self._drain(grace_s))

    def _read_keys_again(self) -> None:
        """Take the client keys from the settings as they are now, and nothing else."""
        try:
            pairs = load().client_key_pairs
        except SettingsError as exc:
            reason = str(exc).replace("\n", "; ")
            logger.error("client keys are kept: %s", reason)  # noqa: TRY400 - no trace helps
            return
        self._app.state.service.guards.credentials.replace_keys(pairs)
        logger.info("client keys were read again: %d", len(pairs))

    async def _drain(self, grace_s: float) -> None:
        await self._app.state.service.drain(grace_s)
        self.should_exit = True


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """The configuration of uvicorn for this service; the address is that of `listen`."""
    return uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="on",
        workers=1,  # Else uvicorn reads WEB_CONCURRENCY, which some platforms set to words.
        access_log=False,
        log_config=None,
        log_level=settings.log_level,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        server_header=False,
        # The application does this itself, inside of what has to see the peer's own address.
        proxy_headers=False,
        timeout_graceful_shutdown=LAST_EVENTS_S,
    )


def listen(settings: Settings) -> socket.socket:
    """Listen on HOST and PORT, or raise `SettingsError`."""
    host, port = settings.host, settings.port
    try:
        listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=BACKLOG,
            dualstack_ipv6=host == "::",
        )
    except (OSError, UnicodeError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise SettingsError(f"HOST={host} PORT={port}: cannot listen there: {reason}") from exc
    # Accepted connections inherit these.
    options = {
        "TCP_NODELAY": 1,
        "TCP_USER_TIMEOUT": min(int(settings.stream_send_timeout_s * 1_000), INT_MAX),
        "TCP_NOTSENT_LOWAT": NOT_SENT_LOWAT_BYTES,
    }
    for name, value in options.items():
        if option := getattr(socket, name, None):  # Not every system has it.
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a client on this machine finds the service."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
