"""WORKERS processes on one listening socket: started, passed signals on, replaced when one dies.

Each runs `python -m app` on the socket that it inherits. uvicorn's own supervisor would run plain
uvicorn servers, which do not drain.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile

from prometheus_client.multiprocess import mark_process_dead

from app.settings import Settings
from app.telemetry import SHARED_FOLDER

logger = logging.getLogger("app.server")

CANNOT_START = (1, 2)
"""Statuses with which a worker ends that never served."""
RESTART_WAIT_S = 1
PASSED_ON = {
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGINT: signal.SIGTERM,
    signal.SIGHUP: signal.SIGHUP,
}


class Workers:
    """The processes; their metrics lie in a folder of their own, and their ends are logged."""

    def __init__(self, settings: Settings, listener: socket.socket, folder: str) -> None:
        pictures = settings.image_workers or os.cpu_count() or 1
        numbers = range(settings.workers)
        self._picture_workers = [max(1, len(range(pictures)[n :: len(numbers)])) for n in numbers]
        self._listener = listener
        self._folder = folder
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Run until a signal, or until none can be started; the process's exit status."""
        for received in PASSED_ON:
            asyncio.get_running_loop().add_signal_handler(received, self._pass_on, received)
        return max(await asyncio.gather(*map(self._keep, self._picture_workers)))

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
        own = {SHARED_FOLDER: self._folder, "IMAGE_WORKERS": str(picture_workers)}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, *sys.orig_argv[1:], "--socket", str(number)),
            env=os.environ | own,
            pass_fds=[number],
            # It ends with this process: then nobody holds the other end any more.
            stdin=asyncio.subprocess.PIPE,
            # Ctrl+C in a terminal comes to this process alone.
            process_group=0,
        )

    def _pass_on(self, received: signal.Signals) -> None:
        if received != signal.SIGHUP:
            self._stopping.set()
        for worker in self._running:
            worker.send_signal(PASSED_ON[received])


def run_workers(settings: Settings, listener: socket.socket) -> int:
    """Run WORKERS processes on a listening socket; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="imagesearch-metrics-") as folder:
        return asyncio.run(Workers(settings, listener, folder).run())
