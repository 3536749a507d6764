"""From a body to what goes upstream, off the event loop, a few pictures at a time."""

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from app.errors import ImageMissing, ImageTooLarge, Overloaded
from app.images.data_url import decode_data_url, is_data_url
from app.images.inflight import RETRY_AFTER_S, Held, Inflight
from app.images.limits import ImageLimits
from app.images.normalise import examine
from app.images.url import check_url
from app.models import ImageInput

SMALL_URL_CHARS = 65_536
"""Decoded in microseconds: not worth a thread."""

NICENESS = 10
"""Of the threads, so that the event loop's runs first where cores are few."""

T = TypeVar("T")


class Intake:
    """Takes pictures in. `inflight` is the budget that whoever receives bodies draws on too."""

    def __init__(self, limits: ImageLimits) -> None:
        self.inflight = Inflight(limits.inflight_max_bytes)
        self._limits = limits
        workers = limits.workers or os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(workers, "images", initializer=_stand_back)
        self._turns = asyncio.Semaphore(workers)
        self._waiting = 0
        self._jobs: set[asyncio.Task[ImageInput]] = set()
        self._holding: set[asyncio.Future[ImageInput]] = set()

    async def take_in(self, body: bytes | bytearray | memoryview) -> ImageInput:
        """The picture as it goes upstream. The body must not change until this returns.

        One that can be written may be used up: its memory is given back early, and reads as zeros.

        Raises:
            ImageMissing: No bytes.
            ImageTooLarge: More bytes than allowed, or more memory needed than there is.
            ImageTypeUnsupported, ImageDimensions, ImageUnreadable: It cannot be searched.
            Overloaded: Too many pictures at once.
        """
        view = memoryview(body).cast("B")
        if not view:
            raise ImageMissing("The image is empty: it has no bytes.")
        if 0 < self._limits.max_bytes < len(view):
            raise ImageTooLarge(
                f"The image has {len(view)} bytes; at most {self._limits.max_bytes} are taken in."
            )
        await self._turn()
        job = asyncio.get_running_loop().create_task(self._work(view))
        self._jobs.add(job)
        job.add_done_callback(self._done)
        # Whoever leaves cannot stop a thread: the job keeps its turn and its memory to its end.
        return await asyncio.shield(job)

    async def take_in_url(self, url: str) -> ImageInput:
        """An image named in a field: a `data:` URL goes the way of uploads, another is checked.

        Raises:
            ImageUrlInvalid: It is neither an address that is passed on nor a `data:` URL.
            ImageMissing, ImageTooLarge, ...: As `take_in`.
        """
        if not is_data_url(url):
            return check_url(url)
        with self.inflight.hold() as held:
            held.grow(len(url) * 3 // 4)
            return await self.take_in(await self._decode(url))

    async def _decode(self, url: str) -> bytearray:
        if len(url) <= SMALL_URL_CHARS:
            return decode_data_url(url, max_bytes=self._limits.max_bytes)
        return await self._in_thread(
            partial(decode_data_url, max_bytes=self._limits.max_bytes), url
        )

    async def close(self) -> None:
        """Wait for the pictures under way, and end the threads."""
        if self._jobs:
            await asyncio.wait(self._jobs)
        self._threads.shutdown()

    async def _turn(self) -> None:
        if self._limits.queue_max and self._waiting >= self._limits.queue_max:
            raise Overloaded("Too many pictures are waiting.", retry_after_s=RETRY_AFTER_S)
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1

    def _done(self, job: "asyncio.Task[ImageInput]") -> None:
        self._jobs.discard(job)
        self._turns.release()
        if not job.cancelled():
            job.exception()  # Nobody may be left to read it

    async def _work(self, body: memoryview) -> ImageInput:
        plan = await self._in_thread(examine, body, self._limits)
        with self.inflight.hold() as held:
            await self._reserve(held, plan.memory_bytes, len(body))
            running = asyncio.ensure_future(self._in_thread(plan.finish))
            self._holding.add(running)
            running.add_done_callback(self._holding.discard)
            return await running

    async def _reserve(self, held: Held, n_bytes: int, body_bytes: int) -> None:
        """Draw a job's memory, waiting only for other jobs, which need nothing more to end."""
        limit = self.inflight.max_bytes
        if 0 < limit < n_bytes + body_bytes:
            raise ImageTooLarge(
                "Decoding this image takes more memory than is kept for pictures; "
                "send it with fewer pixels, or as a JPEG."
            )
        while self._holding and not held.fits(n_bytes):
            await asyncio.wait(self._holding, return_when=asyncio.FIRST_COMPLETED)
        held.grow(n_bytes)

    def _in_thread(self, work: Callable[..., T], *args: object) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


def _stand_back() -> None:
    """Let other threads go first. On Linux each has a niceness of its own (nice(2), notes)."""
    if sys.platform == "linux":
        os.nice(NICENESS)
