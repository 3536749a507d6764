"""What a picture may be, and how much of the machine pictures may take. `0` switches one off."""

from dataclasses import dataclass

from app.errors import ImageDimensions

MAX_BYTES = 20 * 1024 * 1024
MIN_SIDE = 11
"""Pixels. The upstream takes sides longer than 10 pixels."""

MAX_RATIO = 200
"""The upstream takes pictures up to 200:1."""

MAX_URL_BYTES = 10_000_000
"""Longest `data:` URL sent; the upstream's own limit is 10 MB of base64 text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """The operator's limits: bytes and pixels of one file, and what all of them may use at once."""

    max_bytes: int = MAX_BYTES
    max_pixels: int = 50_000_000
    max_side: int = 2048
    """Pixels of the longer side; larger pictures are scaled down to it."""
    workers: int = 2
    """Pictures worked on at once, each in a thread of its own; 0: one for every processor."""
    queue_max: int = 128
    """Pictures that may wait for a worker; the next one is told that the service is busy."""
    inflight_max_bytes: int = 268_435_456
    """Bytes of all bodies being received and all pictures being decoded."""

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse a width and height, in pixels, that the upstream or the operator does not take.

        Raises:
            ImageDimensions: With the size, and the limit that it breaks.
        """
        short, long = sorted(size)
        is_ = f"The picture is {size[0]} x {size[1]} pixels"
        if short < MIN_SIDE:
            raise ImageDimensions(f"{is_}; both sides must be longer than {MIN_SIDE - 1} pixels.")
        if long > short * MAX_RATIO:
            raise ImageDimensions(
                f"{is_}; the longer side may be at most {MAX_RATIO} times the shorter one."
            )
        if self.max_pixels and short * long > self.max_pixels:
            raise ImageDimensions(f"{is_}; at most {self.max_pixels} pixels are taken in.")
