"""The worker processes: started, handed pictures, killed at their deadline, replaced.

What a worker sends is not trusted: a hostile picture may have taken it over.
"""

import asyncio
import logging
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import Gauge

from app.errors import Draining, ImageTooComplex, Overloaded, ServiceError
from app.images.messages import ANSWER, NICENESS, REQUEST, Code
from app.settings import Settings

ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",  # Saves 64 MiB of address space a thread.
    "MALLOC_MMAP_THRESHOLD_": "1048576",  # A picture's memory goes back to the system at once.
}
MAX_ANSWER_BYTES = 1 << 24
QUEUE_MAX, QUEUE_WAIT_S, START_S, RESTART_WAIT_S = 256, 30, 20, 1
FAILURES = (TimeoutError, OSError, EOFError, ValueError)  # A worker's death, or nonsense from it.
TOO_COMPLEX = "Decoding this image takes more memory or time than an image may; send it smaller."
BUSY = "Too many images are waiting to be decoded."

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Worker:
    """One process at a time, and the streams to and from it. Its failures are `FAILURES`."""

    def __init__(self, limits: Iterable[float]) -> None:
        self.lost = asyncio.Event()
        self._command = [sys.executable, "-P", "-m", "app.images.worker", *map(str, limits)]

    async def start(self) -> None:
        """Start a process, and wait until it is ready."""
        self.lost.clear()
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = await asyncio.to_thread(  # uvloop's own way stops the loop for 30 ms.
                subprocess.Popen[bytes],
                self._command,
                cwd="/",
                env=ENVIRONMENT,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,  # stderr is shared until the worker is ready.
                start_new_session=True,  # Ctrl-C in a terminal is the service's business.
            )
        os.setpriority(os.PRIO_PROCESS, self.process.pid, NICENESS)
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        async with asyncio.timeout(START_S):
            await self._answer()

    async def ask(self, file: memoryview) -> tuple[Code, bytes]:
        """Send a file; return the answer."""
        self._writer.write(REQUEST.pack(len(file)))
        self._writer.write(file)
        return await self._answer()

    async def _answer(self) -> tuple[Code, bytes]:
        code, n_bytes = ANSWER.unpack(await self._reader.readexactly(ANSWER.size))
        if n_bytes > MAX_ANSWER_BYTES:
            raise EOFError("an answer that is too long")
        return Code(code), await self._reader.readexactly(n_bytes)

    async def end(self) -> None:
        """Kill it, with what it may have started; whoever reads its answer finds the end."""
        if self.process.returncode is None:  # Not waited for, so the number is still its own.
            os.killpg(self.process.pid, signal.SIGKILL)
        self._writer.transport.abort()
        await asyncio.to_thread(self.process.wait)


class FairQueue(Generic[T]):
    """What is free, and who waits for it, in rounds: a caller has one turn in each."""

    def __init__(self, max_waiting: int) -> None:
        self.free: list[T] = []
        self._max, self._round = max_waiting, 0
        self._waiting: list[tuple[int, str, asyncio.Future[T]]] = []

    async def get(self, caller: str, within_s: float) -> T:
        """Wait for something free; raises `Overloaded`, or what `close` was given."""
        if self.free:  # Then nobody waits.
            return self.free.pop()
        own = [number for number, name, _ in self._waiting if name == caller]
        # No caller has more than half of the places to wait in.
        if len(self._waiting) >= self._max or len(own) >= self._max // 2:
            raise Overloaded(BUSY)
        given: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        turn = (max([self._round, *own]) + 1, caller, given)
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(within_s):
                return await given
        except (TimeoutError, asyncio.CancelledError) as exc:
            if not given.cancelled():
                self.put(given.result())  # It was handed over just as the caller left.
            if isinstance(exc, TimeoutError):
                raise Overloaded(BUSY) from None
            raise
        finally:
            self._waiting.remove(turn)

    def put(self, thing: T) -> None:
        """Hand it to the next one who waits, or keep it."""
        waiting = [turn for turn in self._waiting if not turn[2].done()]
        if waiting:
            self._round, _, given = min(waiting, key=lambda turn: turn[0])
            given.set_result(thing)
        else:
            self.free.append(thing)

    def close(self, error: ServiceError) -> None:
        """Fail all who wait."""
        for _, _, given in self._waiting:
            if not given.done():
                given.set_exception(error)


class Pool:
    """`image_workers` processes (0: one a processor), lent to callers in turn, a picture each."""

    def __init__(self, settings: Settings, busy: Gauge) -> None:
        self._busy = busy
        self._timeout_s = settings.image_timeout_s or None
        costs = (settings.image_worker_memory_bytes, math.ceil(settings.image_timeout_s))
        limits = (*costs, settings.image_max_pixels, settings.image_max_side)
        count = settings.image_workers or os.cpu_count() or 1
        self._workers = [Worker(limits) for _ in range(count)]
        self._idle: FairQueue[Worker] = FairQueue(QUEUE_MAX)
        self._keepers: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        """Return when all workers are ready; raise one of `FAILURES` if one cannot be started."""
        for worker in self._workers:  # The kernel takes one `autogroup` in 0.1 s.
            await worker.start()
            self._keepers.append(asyncio.create_task(self._keep(worker)))

    async def decode(self, file: memoryview, caller: str) -> tuple[Code, bytes]:
        """What a worker makes of a picture; raises `ImageTooComplex`, `Overloaded`, `Draining`."""
        if self._closing:
            raise Draining
        while (worker := await self._idle.get(caller, QUEUE_WAIT_S)).process.poll() is not None:
            worker.lost.set()  # Somebody killed it while it was idle.
        try:
            with self._busy.track_inprogress():
                async with asyncio.timeout(self._timeout_s):
                    answer = await worker.ask(file)
        except BaseException as exc:
            worker.lost.set()  # Also when the caller has left: nothing is decoded for them.
            if not isinstance(exc, FAILURES):
                raise
            if self._closing:
                raise Draining from exc
            logger.warning("image worker lost", extra={"fields": {"reason": type(exc).__name__}})
            raise ImageTooComplex(TOO_COMPLEX) from exc
        self._idle.put(worker)
        return answer

    async def close(self) -> None:
        """End all workers; who waits for one, or for its answer, is told `draining`."""
        self._closing = True
        self._idle.close(Draining())
        for worker in self._workers:
            worker.lost.set()
        if self._keepers:
            await asyncio.wait(self._keepers)  # Unlike `gather`, it cancels none when cancelled.

    async def _keep(self, worker: Worker) -> None:
        """Lend a worker and, whenever it is lost, start it again."""
        while not self._closing:
            self._idle.put(worker)
            await worker.lost.wait()
            await worker.end()
            while not self._closing:
                try:
                    await worker.start()
                    break
                except FAILURES:
                    logger.exception("image worker cannot be started")
                    await worker.end()
                    await asyncio.sleep(RESTART_WAIT_S)
        await worker.end()
