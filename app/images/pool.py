"""The worker processes: started, handed pictures, killed at their deadline, replaced.

A worker may be in a picture's hands: nothing that it sends is believed, and it gets nothing of this
process's environment.
"""

import asyncio
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
from app.images.messages import ANSWER, REQUEST, Code

ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",  # Saves 64 MiB of address space a thread.
    "MALLOC_MMAP_THRESHOLD_": "1048576",  # A picture's memory goes back to the system at once.
}
MAX_ANSWER_BYTES = 1 << 24
QUEUE_WAIT_S, START_S, RESTART_WAIT_S = 30, 20, 1
FAILURES = (TimeoutError, OSError, EOFError, ValueError)
"""What a worker's death, or nonsense from it, is seen as."""

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Worker:
    """One process, and our end of the socket pair. Its failures are `FAILURES`."""

    process: subprocess.Popen[bytes]
    socket: socket.socket

    @classmethod
    def launch(cls, arguments: Sequence[str]) -> "Worker":
        """Start it; in a thread, since uvloop's own way forks, and stops the loop for 30 ms."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - this package's own module
                [sys.executable, "-P", "-m", "app.images.worker", *arguments],
                cwd="/",
                env=ENVIRONMENT,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,  # stderr is shared until the worker is ready.
                start_new_session=True,  # Ctrl-C in a terminal is the service's business.
            )
        return cls(process, ours)

    async def ask(self, file: memoryview) -> tuple[Code, memoryview]:
        """Send a file, which is not copied; return the answer."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.socket, REQUEST.pack(len(file)))
        await loop.sock_sendall(self.socket, file)
        return await self.answer()

    async def answer(self) -> tuple[Code, memoryview]:
        """Read one answer."""
        code, n_bytes = ANSWER.unpack(await self._read(ANSWER.size))
        if n_bytes > MAX_ANSWER_BYTES:
            raise EOFError("an answer that is too long")
        return Code(code), await self._read(n_bytes)

    async def _read(self, n_bytes: int) -> memoryview:
        data, at = memoryview(bytearray(n_bytes)), 0
        while at < n_bytes:
            n_read = await asyncio.get_running_loop().sock_recv_into(self.socket, data[at:])
            if not n_read:
                raise EOFError("the worker has ended")
            at += n_read
        return data

    async def kill(self) -> None:
        """End it, with what it may have started; whoever reads its answer finds the end."""
        if self.process.returncode is None:  # Not waited for, so the number is still its own.
            os.killpg(self.process.pid, signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)


class Pool:
    """`count` workers started with `arguments`, lent to callers in turn, for a picture each.

    Decoding it may take `timeout_s`; 0 is no limit.
    """

    def __init__(
        self, arguments: Sequence[str], *, count: int, timeout_s: float, max_waiting: int
    ) -> None:
        self._arguments, self._count = arguments, count
        self._timeout_s = timeout_s or None
        self._idle: FairQueue[Worker] = FairQueue(max_waiting)
        self._all: set[Worker] = set()
        self._renewals: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def ready(self) -> bool:
        """Whether any worker lives."""
        return bool(self._all) and not self._closing

    async def start(self) -> None:
        """Return when all workers are ready; raise one of `FAILURES` if one cannot be started."""
        for worker in await asyncio.gather(*(self._spawn() for _ in range(self._count))):
            self._idle.put(worker)

    async def decode(self, file: memoryview, caller: str) -> tuple[Code, memoryview]:
        """Return what a worker makes of a picture.

        Raises `ImageTooComplex` when that takes too much memory or time, `Overloaded`, `Draining`.
        """
        worker, code = await self._borrow(caller), Code.TOO_COMPLEX
        try:
            async with asyncio.timeout(self._timeout_s):
                code, content = await worker.ask(file)
        except FAILURES as exc:
            if self._closing:
                raise _draining() from exc
            logger.warning("image worker lost", extra={"fields": {"reason": type(exc).__name__}})
        finally:  # Also when the caller has left: nothing is decoded for them.
            self._give_back(worker, usable=code is not Code.TOO_COMPLEX)
        if code is Code.TOO_COMPLEX:
            raise ImageTooComplex(
                "Decoding this image takes more memory or time than an image may; send it smaller."
            )
        return code, content

    async def close(self) -> None:
        """End all workers; who waits for one, or for its answer, is told `draining`."""
        self._closing = True
        self._idle.close(_draining())
        while self._idle.free:
            self._idle.free.pop().socket.close()
        await asyncio.gather(*(worker.kill() for worker in self._all), *self._renewals)

    async def _borrow(self, caller: str) -> Worker:
        while not self._closing:
            worker = await self._idle.get(caller, QUEUE_WAIT_S)
            if worker.process.poll() is None:
                return worker
            self._give_back(worker, usable=False)  # Somebody killed it while it was idle.
        raise _draining()

    def _give_back(self, worker: Worker, *, usable: bool) -> None:
        if usable and not self._closing:
            return self._idle.put(worker)
        worker.socket.close()
        if self._closing:
            return None  # `close` kills it.
        task = asyncio.create_task(self._replace(worker))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)
        return None

    async def _replace(self, worker: Worker) -> None:
        self._all.discard(worker)  # `close` kills those in it.
        await worker.kill()
        while not self._closing:
            try:
                return self._idle.put(await self._spawn())
            except FAILURES:
                logger.exception("image worker cannot be started")
                await asyncio.sleep(RESTART_WAIT_S)
        return None

    async def _spawn(self) -> Worker:
        worker = await asyncio.to_thread(Worker.launch, self._arguments)
        self._all.add(worker)
        try:
            async with asyncio.timeout(0 if self._closing else START_S):
                await worker.answer()
        except BaseException:
            worker.socket.close()
            self._all.discard(worker)
            await worker.kill()
            raise
        return worker


def _draining() -> Draining:
    return Draining("The service is shutting down.")
