"""Hostile files against a real process: what they cost it, and whoever asks beside them."""

import asyncio
import struct
import sys
import time
import zlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import httpx
import pytest

from tests.e2e.images.files import Make, chunk, encoded, exif, jpeg, noise, png, scene
from tests.e2e.images.hostile import many_scans
from tests.e2e.images.samples import LYING_AVIF
from tests.processes import Memory, Process, service, simulator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 1 << 20
SLACK_BYTES = 12 * MIB
"""For the requests beside it, and what the C library keeps."""
BESIDE_S = 1.0
SHORT, LONG, LONG8 = (3, "<H"), (4, "<I"), (16, "<Q")


class Tag(NamedTuple):
    """An entry of a TIFF's directory; many values stand behind it."""

    number: int
    kind: tuple[int, str]
    value: int
    times: int = 1


def tiff(*tags: Tag, pixels: bytes = bytes(64 * 64)) -> bytes:
    """A TIFF of these tags, in this order, also such as no reader expects."""
    at = 8 + len(pixels)
    entries, behind = b"", b""
    for tag in tags:
        code, form = tag.kind
        values = struct.pack(form, tag.value) * tag.times
        if len(values) > 4:
            place = at + 6 + 12 * len(tags) + len(behind)
            behind, values = behind + values, struct.pack("<I", place)
        entries += struct.pack("<HHI", tag.number, code, tag.times) + values.ljust(4, b"\0")
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", at) + pixels + directory + behind


SQUARE = (Tag(256, SHORT, 64), Tag(257, SHORT, 64))
ONE_STRIP = (Tag(278, SHORT, 64), Tag(279, LONG, 64 * 64))


def grey_tiff(sides: tuple[Tag, ...], strips: Tag, *behind: Tag) -> bytes:
    plain = (Tag(258, SHORT, 8), Tag(259, SHORT, 1), Tag(262, SHORT, 1))
    return tiff(*sides, *plain, strips, Tag(277, SHORT, 1), *behind)


def many_strips(count: int, *lengths: Tag) -> bytes:
    return grey_tiff(SQUARE, Tag(273, LONG, 8, count), Tag(278, LONG, 1), *lengths)


def width_twice(first: Tag, second: Tag) -> bytes:
    return grey_tiff((first, second, SQUARE[1]), Tag(273, LONG, 8), *ONE_STRIP)


def png_of_zeros() -> bytes:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(30_001 * 1000)) for _ in range(30)) + packer.flush()
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def vast(file: bytes, size: bytes, larger: bytes) -> bytes:
    """The file, saying in its header that it is larger."""
    assert size in file
    return file.replace(size, larger)


def vast_heic() -> bytes:
    return vast(
        encoded(scene(64, 64), "HEIF"),
        b"ispe" + struct.pack(">III", 0, 64, 64),
        b"ispe" + bytes(4) + b"\0\0\xff\xff" * 2,
    )


def many_segments() -> bytes:
    return jpeg()[:2] + b"\xff\xfe\0\2" * 2_000_000 + jpeg()[2:]


def icc_of_numbers() -> bytes:
    return grey_tiff(SQUARE, Tag(273, LONG, 8), *ONE_STRIP, Tag(34675, SHORT, 7, 1000))


def photo_of_20_mb() -> bytes:
    body = jpeg(noise(1500, 1000).resize((6000, 4000)), exif=exif(orientation=6), quality=80)
    return body + bytes(20 * MIB - len(body))


SIZE, UNREADABLE, COMPLEX = "image_dimensions", "image_unreadable", "image_too_complex"
JPEG_SIZE, GIF_SIZE = struct.pack(">HH", 48, 64), struct.pack("<HH", 64, 48)
HOSTILE: dict[str, tuple[Make, set[str | None]]] = {
    "png 30,000 x 30,000 of zeros": (png_of_zeros, {SIZE}),
    "jpeg 65,535 x 65,535": (lambda: vast(jpeg(), JPEG_SIZE, b"\xff" * 4), {SIZE}),
    "gif 65,535 x 65,535": (lambda: vast(encoded(scene(), "GIF"), GIF_SIZE, b"\xff" * 4), {SIZE}),
    "heic 65,535 x 65,535": (vast_heic, {SIZE, UNREADABLE}),
    "tiff of 4.9 million strips": (lambda: many_strips(4_900_000), {UNREADABLE}),
    "tiff of 3.4 million strips": (
        lambda: many_strips(3_400_000, Tag(279, SHORT, 64, 3_400_000)),
        {None, UNREADABLE},
    ),
    "tiff, width twice": (
        lambda: width_twice(SQUARE[0], Tag(256, LONG, 10_000)),
        {None, UNREADABLE},
    ),
    "tiff, width twice, in eight bytes": (
        lambda: width_twice(Tag(256, LONG, 64), Tag(256, LONG8, 1_000_000)),
        {None, UNREADABLE},
    ),
    "jpeg of 600 scans": (lambda: many_scans(600), {COMPLEX}),
    "jpeg of 2 million segments": (many_segments, {COMPLEX}),
    "avif that says 64 x 64": (lambda: LYING_AVIF, {None, UNREADABLE, COMPLEX}),
    "icc profile of 16-bit numbers": (icc_of_numbers, {None}),
    "polyglot": (lambda: png() + b"PK\3\4" + bytes(99) + b"<script>", {None}),
    "photo of 20 MB": (photo_of_20_mb, {None}),
}


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    async with (
        simulator() as upstream,
        service(upstream, MALLOC_MMAP_THRESHOLD_="1048576") as process,
        httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http,
    ):
        await http.post("/search", files={"image": ("a", encoded(scene(), "GIF"))})
        yield process, http


async def seconds_beside(http: httpx.AsyncClient, work: asyncio.Task[httpx.Response]) -> float:
    """The longest that a health check, or another's small upload, takes while the work goes on."""
    longest = 0.0
    while True:
        began = time.monotonic()
        health = await http.get("/healthz")
        longest = max(longest, time.monotonic() - began)
        began = time.monotonic()
        small = await http.post("/search", files={"image": ("a", png())})
        longest = max(longest, time.monotonic() - began)
        assert (health.status_code, small.status_code) == (200, 200)
        if work.done():
            return longest


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_file_costs_the_service_and_others_little(
    kind: str, served: tuple[Process, httpx.AsyncClient], capsys: pytest.CaptureFixture[str]
) -> None:
    process, http = served
    make, codes = HOSTILE[kind]
    body = make()
    memory = Memory(process)
    began = time.monotonic()
    work = asyncio.create_task(http.post("/search", files={"image": ("a", body)}))
    beside_s = await seconds_beside(http, work)
    took_s = time.monotonic() - began
    answer = (await work).json()
    peak_bytes = memory.peak_bytes
    with capsys.disabled():
        figures = f"{len(body) / MIB:5.1f} MiB, peak +{peak_bytes / MIB:5.1f}, {took_s:4.1f} s"
        print(f"\n{kind}: {figures}, beside {beside_s:.2f} s, {answer.get('code')}")  # noqa: T201
    assert answer.get("code") in codes, answer
    assert peak_bytes <= 3 * len(body) + SLACK_BYTES
    assert beside_s <= BESIDE_S
