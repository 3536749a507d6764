"""uvicorn on a listening socket of our own, in one process or several, that lets searches end.

On SIGTERM or SIGINT the listener stays open while searches drain, so that `/readyz` says 503 and
new searches are refused as `draining`; then uvicorn stops as usual and the process exits with 0.
By itself uvicorn closes the listener first and tells its streams nothing, and so do the processes
of its own supervisor. Ours run `python -m app` on the socket that they inherit.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from types import FrameType

import uvicorn
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead

from app.settings import Settings, SettingsError, load
from app.telemetry import SHARED_FOLDER

logger = logging.getLogger("app.server")


class DrainingServer(uvicorn.Server):
    """Serves until a signal, drains for SHUTDOWN_GRACE_S, then stops; a second ends the grace."""

    def __init__(self, app: FastAPI, settings: Settings, parent_pipe: int | None = None) -> None:
        super().__init__(server_config(app, settings))
        self._app, self._grace_s = app, settings.shutdown_grace_s
        self._parent_pipe = parent_pipe
        self._drain_task: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; from then on SIGHUP has the client keys read again."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._read_keys_again)
        if self._parent_pipe is not None:  # A worker drains when nobody holds its other end.
            loop.add_reader(self._parent_pipe, self._on_signal)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin the drain. uvicorn calls this from its signal handler, while its loop runs."""
        asyncio.get_running_loop().call_soon_threadsafe(self._on_signal)

    def _on_signal(self) -> None:
        if self._parent_pipe is not None:  # Once its other end is gone, it stays readable.
            asyncio.get_running_loop().remove_reader(self._parent_pipe)
        self.force_exit = self.should_exit
        if self._drain_task:
            self._drain_task.cancel()
        self._drain_task = asyncio.create_task(self._drain(self._grace_s))
        self._grace_s = 0

    async def _drain(self, grace_s: float) -> None:
        if self.started:
            await self._app.state.service.drain(grace_s)
        self.should_exit = True

    def _read_keys_again(self) -> None:
        """Take the client keys from the settings as they are now, and nothing else."""
        try:
            pairs = load().client_key_pairs
        except SettingsError as exc:
            reason = str(exc).replace("\n", "; ")
            logger.error("client keys are kept: %s", reason)  # noqa: TRY400 - no trace helps
        else:
            self._app.state.service.guards.credentials.replace_keys(pairs)
            logger.info("client keys were read again: %d", len(pairs))


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """The configuration of uvicorn for this service; the address is that of `listen`."""
    return uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        ws="none",
        workers=1,  # Else uvicorn reads WEB_CONCURRENCY, which some platforms set to words.
        access_log=False,
        log_config=None,
        log_level=settings.log_level,
        # Of a trusted proxy: most close after 60 s, and never use a connection that closes.
        timeout_keep_alive=75,
        server_header=False,
        # The application does this itself, inside of what has to see the peer's own address.
        proxy_headers=False,
        timeout_graceful_shutdown=5,  # After the drain's own grace: to send the last events.
    )


def listen(settings: Settings) -> socket.socket:
    """Listen on HOST and PORT, or raise `SettingsError`; uvicorn then sets its own backlog."""
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, dualstack_ipv6=host == "::")
    except (OSError, UnicodeError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise SettingsError(f"HOST={host} PORT={port}: cannot listen there: {reason}") from exc
    # Accepted connections inherit these.
    options = {
        "TCP_NODELAY": 1,
        "TCP_USER_TIMEOUT": min(int(settings.stream_send_timeout_s * 1_000), 2**31 - 1),
        # A reader that stalls holds 0.2 MB in the kernel instead of up to 3.9 MB.
        "TCP_NOTSENT_LOWAT": 16_384,
    }
    for name, value in options.items():
        if option := getattr(socket, name, None):  # Not every system has it.
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
    return listener


class Workers:
    """WORKERS processes on a listening socket, in place of those that die."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings, self._listener = settings, listener
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Run until a signal, or until none can be started; the process's exit status."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._pass_on, number)
        count = self._settings.workers
        pictures = range(self._settings.image_workers or os.cpu_count() or 1)
        shares = [max(1, len(pictures[number::count])) for number in range(count)]
        with tempfile.TemporaryDirectory(prefix="imagesearch-metrics-") as folder:
            kept = [self._keep({SHARED_FOLDER: folder, "IMAGE_WORKERS": str(n)}) for n in shares]
            return max(await asyncio.gather(*kept))

    async def _keep(self, settings: dict[str, str]) -> int:
        """Run one after the other; the last one's exit status."""
        number, status = self._listener.fileno(), 0
        while not self._stopping.is_set():
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, *sys.orig_argv[1:], "--socket", str(number)),
                env={**os.environ, **settings},
                pass_fds=[number],
                stdin=asyncio.subprocess.PIPE,  # Closed when this process ends, however it does.
                process_group=0,  # Ctrl+C in a terminal comes to this process alone.
            )
            self._running.add(worker)
            if self._stopping.is_set():  # The signal came before it was there.
                worker.terminate()
            status = await worker.wait()
            self._running.remove(worker)
            mark_process_dead(worker.pid, settings[SHARED_FOLDER])  # type: ignore[no-untyped-call]
            if status in {1, 2, 3} and not self._running:  # It never served (3: uvicorn's).
                self._stopping.set()
            if not self._stopping.is_set():
                fields = {"pid": worker.pid, "status": status}
                logger.error("a worker ended and is replaced", extra={"fields": fields})
                await asyncio.sleep(1)
        return status

    def _pass_on(self, number: signal.Signals) -> None:
        if number != signal.SIGHUP:
            self._stopping.set()
        for worker in self._running:
            worker.send_signal(signal.SIGTERM if number == signal.SIGINT else number)
