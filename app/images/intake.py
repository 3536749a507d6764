"""From an uploaded file, or an address, to what goes upstream.

Small plain JPEGs and PNGs pass with their metadata cut out; all else is decoded in a worker process.
"""

import asyncio
import hashlib
import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from app.errors import (
    ImageDimensions,
    ImageMissing,
    ImageTooLarge,
    ImageUnreadable,
)
from app.images.boxes import is_whole
from app.images.data_url import data_url_chars, decode_data_url, encode_data_url, is_data_url
from app.images.limits import MAX_URL_CHARS, size_problem
from app.images.memory import MemoryBudget
from app.images.messages import SIZE, Code
from app.images.pool import Pool
from app.images.sniff import HEAD_BYTES, Kind, sniff
from app.images.strip import Stripped, strip_jpeg, strip_png
from app.images.url import check_url
from app.models import ImageInput

SMALL_BYTES = 65_536
"""Up to this a file or URL is worked on in the event loop: it takes less than a thread costs."""

JPEG, PNG = "image/jpeg", "image/png"

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """The operator's limits; `0` switches one off."""

    max_bytes: int = 20_971_520
    max_pixels: int = 120_000_000
    max_side: int = 2_048
    """Pixels of the longer side; larger pictures are scaled down to it."""
    workers: int = 2
    """Pictures decoded at once, each in a process of its own; 0: one for every processor."""
    worker_memory_bytes: int = 1_073_741_824
    timeout_s: float = 20
    """Of decoding one picture."""
    queue_max: int = 128
    """Pictures that may wait for a worker."""
    inflight_max_bytes: int = 268_435_456
    """Of all bodies being received and all pictures in work."""


@dataclass(frozen=True, slots=True)
class _Examined:
    """What a file is. `url` is set when it passes unchanged."""

    kind: Kind
    digest: str
    url: bytes | None = None


class ImageIntake:
    """Prepares images. `memory` is the budget that whoever receives bodies draws on too."""

    def __init__(self, limits: ImageLimits) -> None:
        self.memory = MemoryBudget(limits.inflight_max_bytes)
        self._limits = limits
        numbers = (
            limits.worker_memory_bytes,
            math.ceil(limits.timeout_s),
            limits.max_pixels,
            limits.max_side,
        )
        self._pool = Pool(
            [str(number) for number in numbers],
            workers=limits.workers or os.cpu_count() or 1,
            timeout_s=limits.timeout_s,
            max_waiting=limits.queue_max,
        )

    @property
    def ready(self) -> bool:
        """Whether pictures can be decoded."""
        return self._pool.ready

    async def start(self) -> None:
        """Return when the workers are ready.

        Raises:
            OSError, EOFError, TimeoutError: One could not be started.
        """
        await self._pool.start()

    async def close(self) -> None:
        """End the workers; whoever waits for one is told `draining`."""
        await self._pool.close()

    async def prepare(self, body: bytes | bytearray | memoryview, *, caller: str) -> ImageInput:
        """Make an uploaded file fit to send. The body must not change until this returns.

        Raises:
            ImageMissing: No bytes.
            ImageTooLarge: More bytes than allowed.
            ImageTypeUnsupported, ImageDimensions, ImageUnreadable: It cannot be searched.
            ImageTooComplex: Decoding it takes more memory or time than one picture may.
            Overloaded, Draining: Not now.
        """
        file = memoryview(body).cast("B")
        if not file:
            raise ImageMissing("The image is empty: it has no bytes.")
        if 0 < self._limits.max_bytes < len(file):
            raise ImageTooLarge(
                f"The image has {len(file)} bytes; at most {self._limits.max_bytes} are accepted."
            )
        with self.memory.hold(caller=caller) as reservation:
            # Of what passes, a URL is made beside the file.
            reservation.grow(min(data_url_chars(JPEG, len(file)), MAX_URL_CHARS))
            examined = await _worked_on(len(file), lambda: self._examine(file))
        if examined.url:
            return ImageInput(examined.url, examined.digest)
        return await self._decode(file, examined, caller)

    async def prepare_url(self, url: str, *, caller: str) -> ImageInput:
        """Prepare an image named in a field: a `data:` URL as an upload, an address is checked.

        Raises:
            ImageUrlInvalid: It is neither.
            ImageMissing, ImageTooLarge, ...: As `prepare`.
        """
        if not is_data_url(url):
            return check_url(url)
        with self.memory.hold(caller=caller) as reservation:
            reservation.grow(len(url) * 3 // 4)
            most = self._limits.max_bytes
            body = await _worked_on(len(url), lambda: decode_data_url(url, max_bytes=most))
            return await self.prepare(body, caller=caller)

    def _examine(self, file: memoryview) -> _Examined:
        """Look at a file without decoding it; runs in a thread where it is large."""
        kind = sniff(bytes(file[:HEAD_BYTES]))
        if kind in (Kind.HEIC, Kind.AVIF) and not is_whole(file):
            raise _unreadable(kind)
        digest = hashlib.sha256(file).hexdigest()
        if kind is Kind.JPEG:
            return _Examined(kind, digest, self._passed(JPEG, strip_jpeg(file)))
        if kind is Kind.PNG and (stripped := strip_png(file)):
            return _Examined(kind, digest, self._passed(PNG, stripped))
        return _Examined(kind, digest)

    def _passed(self, mime: str, stripped: Stripped) -> bytes | None:
        """Return the URL of a file that may go upstream unchanged.

        Raises:
            ImageDimensions: Its size is not accepted.
        """
        if problem := size_problem(*stripped.size, max_pixels=self._limits.max_pixels):
            raise ImageDimensions(problem)
        n_bytes = sum(len(part) for part in stripped.parts)
        if (
            stripped.plain
            and max(stripped.size) <= (self._limits.max_side or max(stripped.size))
            and data_url_chars(mime, n_bytes) <= MAX_URL_CHARS
        ):
            return encode_data_url(mime, stripped.parts)
        return None

    async def _decode(self, file: memoryview, examined: _Examined, caller: str) -> ImageInput:
        code, content = await self._pool.decode(file, caller)
        if code is Code.PREPARED:
            return ImageInput(encode_data_url(JPEG, [content]), examined.digest)
        if code is Code.SIZE_REFUSED and len(content) == SIZE.size:
            problem = size_problem(*SIZE.unpack(content), max_pixels=self._limits.max_pixels)
            raise ImageDimensions(problem or "The picture's size is not accepted.")
        reason = bytes(content).decode(errors="replace")
        fields = {"kind": examined.kind.value, "reason": reason}
        logger.info("image refused by its decoder", extra={"fields": fields})
        raise _unreadable(examined.kind)


async def _worked_on(n_bytes: int, work: Callable[[], T]) -> T:
    return work() if n_bytes <= SMALL_BYTES else await asyncio.to_thread(work)


def _unreadable(kind: Kind) -> ImageUnreadable:
    return ImageUnreadable(f"This {kind.value} file is cut off, damaged, or too large to decode.")
