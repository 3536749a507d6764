"""The worker processes: started, handed pictures, ended at their deadline, and replaced.

A worker may be in a picture's hands, so nothing that it sends is believed: an answer is a code and
at most so many bytes. It gets no key, and nothing of this process's environment.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import Draining, ImageTooComplex
from app.images.fair import FairQueue
from app.images.messages import ANSWER, MAX_ANSWER_BYTES, REQUEST, Code

ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",  # Saves 64 MiB of address space a thread.
    "MALLOC_MMAP_THRESHOLD_": "1048576",  # A picture's memory goes back to the system at once.
}
QUEUE_WAIT_S = 30
"""Longest wait for a worker."""

START_S = 20
RESTART_WAIT_S, RESTART_WAIT_MAX_S = 0.1, 10.0
"""Between attempts to start a worker: doubled from the first to the second."""

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Worker:
    """One process, and our end of the socket pair."""

    process: subprocess.Popen[bytes]
    socket: socket.socket

    @classmethod
    def launch(cls, arguments: Sequence[str]) -> "Worker":
        """Start the process. Blocks for milliseconds, so it is called in a thread.

        Not by the event loop's own means: uvloop's forks, which stops the loop for 30 ms.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "app.images.worker", *arguments],
                cwd="/",
                env=ENVIRONMENT,
                stdin=theirs,
                stdout=subprocess.DEVNULL,  # stderr is shared until the worker is ready.
                start_new_session=True,  # Ctrl-C in a terminal is the service's business.
            )
        return cls(process, ours)

    async def ask(self, file: memoryview) -> tuple[Code, memoryview]:
        """Send a file; return the answer.

        Raises:
            OSError, EOFError, ValueError: The worker died, or its answer is none.
        """
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.socket, REQUEST.pack(len(file)))
        await loop.sock_sendall(self.socket, file)
        return await self.answer()

    async def answer(self) -> tuple[Code, memoryview]:
        """Read one answer; raises as `ask`."""
        code, n_bytes = ANSWER.unpack(await self._read(ANSWER.size))
        if n_bytes > MAX_ANSWER_BYTES:
            raise EOFError("an answer that is too long")
        return Code(code), await self._read(n_bytes)

    async def _read(self, n_bytes: int) -> memoryview:
        data, at = memoryview(bytearray(n_bytes)), 0
        while at < n_bytes:
            n = await asyncio.get_running_loop().sock_recv_into(self.socket, data[at:])
            if not n:
                raise EOFError("the worker has ended")
            at += n
        return data

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    async def kill(self) -> None:
        """End the process, with what it may have started. Who reads its socket finds the end."""
        if self.process.returncode is None:  # Not waited for: the number is still its own.
            os.killpg(self.process.pid, signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)


class Pool:
    """A fixed number of workers, handed out in turn to callers.

    `arguments` are the worker's. `timeout_s` bounds one picture; 0 is no limit.
    """

    def __init__(
        self, arguments: Sequence[str], *, workers: int, timeout_s: float, max_waiting: int
    ) -> None:
        self._arguments = arguments
        self._count = workers
        self._timeout_s = timeout_s or None
        self._idle: FairQueue[Worker] = FairQueue(max_waiting)
        self._all: set[Worker] = set()
        self._renewals: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether any worker can take a picture."""
        return bool(self._all) and not self._closing.is_set()

    async def start(self) -> None:
        """Return when all workers are ready.

        Raises:
            OSError, EOFError, TimeoutError: One could not be started.
        """
        started = await asyncio.gather(
            *(self._spawn() for _ in range(self._count)), return_exceptions=True
        )
        for worker in started:
            if isinstance(worker, BaseException):
                await self.close()
                raise worker
            self._idle.put(worker)

    async def decode(self, file: memoryview, caller: str) -> tuple[Code, memoryview]:
        """Have a worker prepare a picture; return its answer.

        Raises:
            ImageTooComplex: It took more memory or time than one picture may.
            Overloaded: Too many wait.
            Draining: The pool is being closed.
        """
        worker, code = await self._worker_for(caller), Code.TOO_COMPLEX
        try:
            async with asyncio.timeout(self._timeout_s):
                code, content = await worker.ask(file)
        except (TimeoutError, OSError, EOFError, ValueError) as exc:
            if self._closing.is_set():
                raise _draining() from exc
            reason = type(exc).__name__
            logger.warning("image worker lost", extra={"fields": {"reason": reason}})
            raise _too_complex() from exc
        finally:
            self._give_back(worker, reuse=code is not Code.TOO_COMPLEX)
        if code is Code.TOO_COMPLEX:
            raise _too_complex()
        return code, content

    async def close(self) -> None:
        """End all workers; who waits for one, or for its answer, is told `draining`."""
        self._closing.set()
        self._idle.close(_draining())
        await asyncio.gather(*(worker.kill() for worker in self._all), *self._renewals)
        for worker in self._idle.drain():
            worker.socket.close()
        self._all.clear()

    async def _worker_for(self, caller: str) -> Worker:
        while not self._closing.is_set():
            worker = await self._idle.get(caller, QUEUE_WAIT_S)
            if worker.alive:
                return worker
            self._renew(worker)
        raise _draining()

    def _give_back(self, worker: Worker, *, reuse: bool) -> None:
        """Also of callers who have left: their picture's worker is not worth waiting for."""
        if self._closing.is_set():
            worker.socket.close()
        elif reuse:
            self._idle.put(worker)
        else:
            self._renew(worker)

    def _renew(self, worker: Worker) -> None:
        worker.socket.close()
        task = asyncio.create_task(self._replace(worker))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _replace(self, worker: Worker) -> None:
        await worker.kill()
        self._all.discard(worker)
        logger.info("image worker ended", extra={"fields": {"status": worker.process.returncode}})
        wait_s = RESTART_WAIT_S
        while not self._closing.is_set():
            try:
                self._idle.put(await self._spawn())
            except (OSError, EOFError, TimeoutError, ValueError) as exc:
                fields = {"reason": type(exc).__name__}
                logger.warning("image worker cannot be started", extra={"fields": fields})
            else:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), wait_s)
            wait_s = min(RESTART_WAIT_MAX_S, wait_s * 2)

    async def _spawn(self) -> Worker:
        worker = await asyncio.to_thread(Worker.launch, self._arguments)
        self._all.add(worker)
        try:
            async with asyncio.timeout(START_S):
                code, _ = await worker.answer()
            if code is not Code.READY or self._closing.is_set():
                raise EOFError("the worker is not ready")
        except BaseException:
            worker.socket.close()
            await worker.kill()
            self._all.discard(worker)
            raise
        return worker


def _draining() -> Draining:
    return Draining("The service is shutting down.")


def _too_complex() -> ImageTooComplex:
    return ImageTooComplex(
        "Decoding this image takes more memory or time than one image may; send it smaller, or as "
        "a JPEG."
    )
