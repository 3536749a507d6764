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

LAST_EVENTS_S = 5  # uvicorn's own grace, after the drain's: time to send the last events.
KEEP_ALIVE_S = 75
"""Of a trusted proxy's idle connection. Most close after 60 s, and never use one that closes."""
NOT_SENT_LOWAT_BYTES = 16_384
"""Unsent bytes in the kernel beyond which a socket is not writable: a reader that stalls holds
0.2 MB instead of up to 3.9 MB."""

CANNOT_START = (1, 2)  # Statuses with which a worker ends that never served.
RESTART_WAIT_S = 1
TERM, HUP = signal.SIGTERM, signal.SIGHUP
PASSED_ON = {TERM: TERM, signal.SIGINT: TERM, HUP: HUP}


class DrainingServer(uvicorn.Server):
    """Serves until a signal, drains for SHUTDOWN_GRACE_S, then stops; a second ends the grace.

    A worker drains too when nobody holds the other end of its `parent_pipe` any more.
    """

    def __init__(self, app: FastAPI, settings: Settings, parent_pipe: int | None = None) -> None:
        super().__init__(server_config(app, settings))
        self._app, self._grace_s = app, settings.shutdown_grace_s
        self._parent_pipe = parent_pipe
        self._drain_task: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; from then on SIGHUP has the client keys read again."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(HUP, self._read_keys_again)
        if self._parent_pipe is not None:
            loop.add_reader(self._parent_pipe, self._on_orphaned, self._parent_pipe)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin the drain. uvicorn calls this from its signal handler, while its loop runs."""
        asyncio.get_running_loop().call_soon_threadsafe(self._on_signal)

    def _on_orphaned(self, pipe: int) -> None:
        asyncio.get_running_loop().remove_reader(pipe)
        self._on_signal()

    def _on_signal(self) -> None:
        self.force_exit = self.should_exit
        if not self.started:
            self.should_exit = True
            return
        if self._drain_task:
            self._drain_task.cancel()
        self._drain_task = asyncio.create_task(self._drain(self._grace_s))
        self._grace_s = 0

    async def _drain(self, grace_s: float) -> None:
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
        lifespan="on",
        workers=1,  # Else uvicorn reads WEB_CONCURRENCY, which some platforms set to words.
        access_log=False,
        log_config=None,
        log_level=settings.log_level,
        timeout_keep_alive=KEEP_ALIVE_S,
        server_header=False,
        # The application does this itself, inside of what has to see the peer's own address.
        proxy_headers=False,
        timeout_graceful_shutdown=LAST_EVENTS_S,
    )


def listen(settings: Settings) -> socket.socket:
    """Listen on HOST and PORT, or raise `SettingsError`; uvicorn then sets its own backlog."""
    host, port = address = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server(address, family=family, dualstack_ipv6=host == "::")
    except (OSError, UnicodeError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise SettingsError(f"HOST={host} PORT={port}: cannot listen there: {reason}") from exc
    # Accepted connections inherit these.
    options = {
        "TCP_NODELAY": 1,
        "TCP_USER_TIMEOUT": min(int(settings.stream_send_timeout_s * 1_000), 2**31 - 1),
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


def run_workers(settings: Settings, listener: socket.socket) -> int:
    """Run WORKERS processes on a listening socket, in place of those that die; the exit status."""
    with tempfile.TemporaryDirectory(prefix="imagesearch-metrics-") as folder:
        return asyncio.run(Workers(listener, folder).run(settings))


class Workers:
    """The processes; their metrics lie in a folder of their own, and their ends are logged."""

    def __init__(self, listener: socket.socket, folder: str) -> None:
        self._listener, self._folder = listener, folder
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()

    async def run(self, settings: Settings) -> int:
        """Run until a signal, or until none can be started; the process's exit status."""
        for received in PASSED_ON:
            asyncio.get_running_loop().add_signal_handler(received, self._pass_on, received)
        pictures, count = range(settings.image_workers or os.cpu_count() or 1), settings.workers
        shares = [max(1, len(pictures[number::count])) for number in range(count)]
        return max(await asyncio.gather(*map(self._keep, shares)))

    async def _keep(self, picture_workers: int) -> int:
        status = 0
        while not self._stopping.is_set():
            worker = await self._start(picture_workers)
            self._running.add(worker)
            if self._stopping.is_set():  # The signal came before it was there.
                worker.terminate()
            status = await worker.wait()
            self._running.remove(worker)
            mark_process_dead(worker.pid, self._folder)  # type: ignore[no-untyped-call]
            if status in CANNOT_START and not self._running:
                self._stopping.set()
            if not self._stopping.is_set():
                fields = {"pid": worker.pid, "status": status}
                logger.error("a worker ended and is replaced", extra={"fields": fields})
                await asyncio.sleep(RESTART_WAIT_S)
        return status

    async def _start(self, picture_workers: int) -> asyncio.subprocess.Process:
        number = self._listener.fileno()
        return await asyncio.create_subprocess_exec(
            *(sys.executable, *sys.orig_argv[1:], "--socket", str(number)),
            env={**os.environ, SHARED_FOLDER: self._folder, "IMAGE_WORKERS": str(picture_workers)},
            pass_fds=[number],
            # It ends with this process: then nobody holds the other end any more.
            stdin=asyncio.subprocess.PIPE,
            # Ctrl+C in a terminal comes to this process alone.
            process_group=0,
        )

    def _pass_on(self, received: signal.Signals) -> None:
        if received != HUP:
            self._stopping.set()
        for worker in self._running:
            worker.send_signal(PASSED_ON[received])
