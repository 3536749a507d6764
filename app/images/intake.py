"""From an uploaded file, or an image's URL, to what goes upstream.

Small plain JPEGs and PNGs pass with their metadata cut out; a worker process decodes all others.
"""

import asyncio
import hashlib
import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from app.errors import ImageDimensions, ImageMissing, ImageTooLarge, ImageUnreadable
from app.images.boxes import is_whole
from app.images.data_url import data_url_chars, decode_data_url, encode_data_url
from app.images.memory import MemoryBudget
from app.images.messages import MAX_URL_CHARS, SIZE, Code, size_problem
from app.images.pool import Pool
from app.images.sniff import HEAD_BYTES, Kind, sniff
from app.images.strip import strip_jpeg, strip_png
from app.images.url import check_url
from app.models import ImageInput

SMALL_BYTES = 65_536
"""Up to this the work is done in the event loop: it takes less than a thread costs."""
MIME = {Kind.JPEG: "image/jpeg", Kind.PNG: "image/png"}
STRIP = {Kind.JPEG: strip_jpeg, Kind.PNG: strip_png}

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """The operator's limits; `0` switches one off, and `workers=0` is one a processor."""

    max_bytes: int = 20_971_520
    max_pixels: int = 120_000_000
    max_side: int = 2_048
    workers: int = 2
    worker_memory_bytes: int = 1_073_741_824
    timeout_s: float = 20
    queue_max: int = 256
    inflight_max_bytes: int = 268_435_456


class ImageIntake:
    """Prepares images. Whoever receives bodies draws on `memory` too."""

    def __init__(self, limits: ImageLimits) -> None:
        self.memory = MemoryBudget(limits.inflight_max_bytes)
        self._limits = limits
        timeout_s = math.ceil(limits.timeout_s)
        arguments = limits.worker_memory_bytes, timeout_s, limits.max_pixels, limits.max_side
        self._pool = Pool(
            [str(number) for number in arguments],
            count=limits.workers or os.cpu_count() or 1,
            timeout_s=limits.timeout_s,
            max_waiting=limits.queue_max,
        )
        self.start, self.close = self._pool.start, self._pool.close

    @property
    def ready(self) -> bool:
        """Whether images can be decoded."""
        return self._pool.ready

    async def prepare_url(self, url: str, *, caller: str) -> ImageInput:
        """Prepare an image named in a field: a `data:` URL like a file, an address is checked.

        Raises `ImageUrlInvalid`, and what `prepare` raises.
        """
        if url.lstrip()[:5].lower() != "data:":
            return check_url(url)
        with self.memory.hold(caller=caller) as reservation:
            reservation.grow(len(url) * 3 // 4)
            body = await _run(len(url), lambda: decode_data_url(url, self._limits.max_bytes))
            return await self.prepare(body, caller=caller)

    async def prepare(self, body: bytes | bytearray | memoryview, *, caller: str) -> ImageInput:
        """Make a file fit to send. It must not change until this returns.

        Raises `ImageMissing`, `ImageTooLarge`, `ImageTypeUnsupported`, `ImageDimensions`,
        `ImageUnreadable`, `ImageTooComplex`; or `Overloaded`, `Draining`.
        """
        file, most = memoryview(body).cast("B"), self._limits.max_bytes
        if not file:
            raise ImageMissing("The image is empty: it has no bytes.")
        if 0 < most < len(file):
            raise ImageTooLarge(f"The image has {len(file)} bytes; at most {most} are accepted.")
        kind, digest, parts = await _run(len(file), lambda: self._examine(file))
        if not parts:
            return ImageInput(await self._decoded(file, kind, caller), digest)
        with self.memory.hold(caller=caller) as reservation:
            reservation.grow(data_url_chars(MIME[kind], len(file)))
            return ImageInput(
                await _run(len(file), lambda: encode_data_url(MIME[kind], parts)), digest
            )

    def _examine(self, file: memoryview) -> tuple[Kind, str, list[memoryview]]:
        """What it is, its digest, and its parts if these pass unchanged."""
        kind = sniff(bytes(file[:HEAD_BYTES]))
        if kind in (Kind.HEIC, Kind.AVIF) and not is_whole(file):
            raise _unreadable(kind)
        digest = hashlib.sha256(file).hexdigest()
        if kind not in MIME or not (found := STRIP[kind](file)):
            return kind, digest, []
        if problem := size_problem(*found.size, self._limits.max_pixels):
            raise ImageDimensions(problem)
        fits = max(found.size) <= (self._limits.max_side or max(found.size))
        fits &= data_url_chars(MIME[kind], sum(map(len, found.parts))) <= MAX_URL_CHARS
        return kind, digest, found.parts if found.plain and fits else []

    async def _decoded(self, file: memoryview, kind: Kind, caller: str) -> bytes:
        code, content = await self._pool.decode(file, caller)
        if code is Code.PREPARED:
            return encode_data_url(MIME[Kind.JPEG], [content])
        if code is Code.SIZE_REFUSED:
            most = self._limits.max_pixels
            size = SIZE.unpack(content) if len(content) == SIZE.size else None
            problem = size and size_problem(size[0], size[1], most)
            raise ImageDimensions(problem or f"At most {most} pixels are accepted.")
        fields = {"kind": kind.value, "reason": bytes(content).decode(errors="replace")}
        logger.info("image refused by its decoder", extra={"fields": fields})
        raise _unreadable(kind)


async def _run(n_bytes: int, work: Callable[[], T]) -> T:
    return work() if n_bytes <= SMALL_BYTES else await asyncio.to_thread(work)


def _unreadable(kind: Kind) -> ImageUnreadable:
    return ImageUnreadable(f"This {kind.value} file is cut off, damaged, or too large to decode.")
