"""The worker processes: started, handed pictures, killed at their deadline, replaced."""

import asyncio
import logging
import math
import os
import signal
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import Gauge

from app.errors import Draining, ImageTooComplex, Overloaded
from app.images.messages import ANSWER, NICENESS, REQUEST, Code
from app.settings import Settings

ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",  # Saves 64 MiB of address space a thread.
    "MALLOC_MMAP_THRESHOLD_": "1048576",  # A picture's memory goes back to the system at once.
}
MAX_ANSWER_BYTES = 1 << 24  # Answers are not trusted: a picture may have taken its worker over.
QUEUE_MAX, QUEUE_WAIT_S, START_S, RESTART_WAIT_S = 256, 30, 20, 1
FAILURES = (TimeoutError, OSError, EOFError, ValueError)  # A worker's death, or nonsense from it.

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Worker:
    """One process at a time, and the streams to and from it. Its failures are `FAILURES`."""

    def __init__(self, *limits: float) -> None:
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
        niceness = min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)
        os.setpriority(os.PRIO_PROCESS, self.process.pid, niceness)
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        async with asyncio.timeout(START_S):
            await self._answer()

    async def ask(self, file: memoryview) -> tuple[Code, bytes]:
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
    """Free things and waiting callers; callers take turns, one thing each."""

    def __init__(self, max_waiting: int) -> None:
        # Not `asyncio.Queue`, in which newcomers overtake.
        self._ready, self._free, self._max = asyncio.Semaphore(0), list[T](), max_waiting
        self._waiting = Counter[str]()
        self._turns = defaultdict[str, asyncio.Lock](asyncio.Lock)

    def put(self, thing: T) -> None:
        self._free.append(thing)
        self._ready.release()

    async def get(self, caller: str, within_s: float) -> T:
        """Wait for something free; raises `Overloaded`."""
        # No caller has more than half of the places to wait in.
        if self._waiting.total() >= self._max or self._waiting[caller] >= self._max // 2:
            raise Overloaded("Too many images are waiting to be decoded.")
        self._waiting[caller] += 1
        try:
            async with asyncio.timeout(within_s), self._turns[caller]:
                await self._ready.acquire()
                return self._free.pop(0)
        except TimeoutError as exc:
            raise Overloaded("No image could be decoded in time.") from exc
        finally:
            self._waiting[caller] -= 1
            if not self._waiting[caller]:
                del self._waiting[caller], self._turns[caller]


class Pool:
    """`image_workers` processes (0: one a processor), lent to callers in turn, a picture each."""

    def __init__(self, settings: Settings, busy: Gauge) -> None:
        self._busy = busy
        self._timeout_s = settings.image_timeout_s or None
        costs = (settings.image_worker_memory_bytes, math.ceil(settings.image_timeout_s))
        limits = (*costs, settings.image_max_pixels, settings.image_max_side)
        count = settings.image_workers or os.cpu_count() or 1
        self._workers = [Worker(*limits) for _ in range(count)]
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
        worker = await self._idle.get(caller, QUEUE_WAIT_S)
        while not self._closing and worker.process.poll() is not None:
            worker.lost.set()  # Somebody killed it while it was idle.
            worker = await self._idle.get(caller, QUEUE_WAIT_S)
        if self._closing:
            self._idle.put(worker)  # For the next one who waits, to be told the same.
            raise Draining
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
            why = "takes more memory or time than an image may; send it smaller"
            raise ImageTooComplex(f"Decoding this image {why}.") from exc
        self._idle.put(worker)
        return answer

    async def close(self) -> None:
        """End all workers; who waits for one, or for its answer, is told `draining`."""
        self._closing = True
        for worker in self._workers:
            worker.lost.set()
            self._idle.put(worker)
        if self._keepers:
            await asyncio.wait(self._keepers)  # Unlike `gather`, it cancels none when cancelled.

    async def _keep(self, worker: Worker) -> None:
        """Lend a worker and, whenever it is lost, start it again."""
        while True:
            self._idle.put(worker)
            await worker.lost.wait()
            await worker.end()
            if self._closing:
                return
            try:
                await worker.start()
            except FAILURES:  # Who is lent it finds that it has ended, and it is lost again.
                logger.exception("image worker cannot be started")
                await worker.end()
                await asyncio.sleep(RESTART_WAIT_S)
