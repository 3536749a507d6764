"""Hostile files against a real process: what they cost it, and whoever asks beside them."""

import asyncio
import struct
import time
import zlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import httpx
import pytest

from tests.e2e.images.files import Make, chunk, encoded, exif, jpeg, noise, png, scene
from tests.e2e.images.hostile import many_scans
from tests.e2e.images.samples import LYING_AVIF
from tests.installed import reads_proc
from tests.processes import Memory, Process, service, simulator

pytestmark = [reads_proc, pytest.mark.timeout(300)]

MIB = 1 << 20
SLACK_BYTES = 12 * MIB
"""For the requests beside it, and what the C library keeps."""
BESIDE_S, TRIES = 1.0, 4
"""What is held up by a file is held up each time; by a busy machine now and then."""


class Tag(NamedTuple):
    """An entry of a TIFF's directory, by its number and the code of its type (TIFF 6.0 §2)."""

    number: int
    code: int
    value: int
    times: int = 1


SHORT, LONG, LONG8 = 3, 4, 16
FORMS = {SHORT: "<H", LONG: "<I", LONG8: "<Q"}
WIDTH, HEIGHT, STRIP = Tag(256, SHORT, 64), Tag(257, SHORT, 64), Tag(273, LONG, 8)
ONE_STRIP = (Tag(278, SHORT, 64), Tag(279, LONG, 64 * 64))


def grey_tiff(*sides: Tag, strips: Tag = STRIP, behind: tuple[Tag, ...] = ONE_STRIP) -> bytes:
    """A TIFF of these tags, in this order, also such as no reader expects."""
    plain = (Tag(258, SHORT, 8), Tag(259, SHORT, 1), Tag(262, SHORT, 1))
    tags = [*sides, *plain, strips, Tag(277, SHORT, 1), *behind]
    pixels, entries, far = bytes(64 * 64), b"", b""
    for tag in tags:
        values = struct.pack(FORMS[tag.code], tag.value) * tag.times
        if len(values) > 4:
            place = 8 + len(pixels) + 6 + 12 * len(tags) + len(far)
            far, values = far + values, struct.pack("<I", place)
        entries += struct.pack("<HHI", tag.number, tag.code, tag.times) + values.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    return head + struct.pack("<H", len(tags)) + entries + bytes(4) + far


def many_strips(count: int, *lengths: Tag) -> bytes:
    strips, rows = Tag(273, LONG, 8, count), Tag(278, LONG, 1)
    return grey_tiff(WIDTH, HEIGHT, strips=strips, behind=(rows, *lengths))


def png_of_zeros() -> bytes:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(30_001 * 1000)) for _ in range(30)) + packer.flush()
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def vast(kind: str, size: bytes, larger: bytes) -> bytes:
    """A small file that says in its header that it is larger."""
    file = encoded(scene(64, 48), kind)
    assert size in file
    return file.replace(size, larger)


def many_segments() -> bytes:
    return jpeg()[:2] + b"\xff\xfe\0\2" * 2_000_000 + jpeg()[2:]


def photo_of_20_mb() -> bytes:
    body = jpeg(noise(1500, 1000).resize((6000, 4000)), exif=exif(orientation=6), quality=80)
    return body + bytes(20 * MIB - len(body))


SIZE, UNREADABLE, COMPLEX = "image_dimensions", "image_unreadable", "image_too_complex"
JPEG_SIZE, GIF_SIZE = struct.pack(">HH", 48, 64), struct.pack("<HH", 64, 48)
HEIC_SIZE = b"ispe" + struct.pack(">III", 0, 64, 64)
HEIC_VAST = b"ispe" + struct.pack(">III", 0, 65_535, 65_535)
EVERY_LENGTH = Tag(279, SHORT, 64, 3_400_000)
FINE_OR_NOT = {None, UNREADABLE}
HOSTILE: dict[str, tuple[Make, set[str | None]]] = {
    "png 30,000 x 30,000 of zeros": (png_of_zeros, {SIZE}),
    "jpeg 65,535 x 65,535": (lambda: vast("JPEG", JPEG_SIZE, b"\xff" * 4), {SIZE}),
    "gif 65,535 x 65,535": (lambda: vast("GIF", GIF_SIZE, b"\xff" * 4), {SIZE}),
    "heic 65,535 x 65,535": (lambda: vast("HEIF", HEIC_SIZE, HEIC_VAST), {SIZE, UNREADABLE}),
    "tiff of 4.9 million strips": (lambda: many_strips(4_900_000), {UNREADABLE}),
    "tiff of 3.4 million strips": (lambda: many_strips(3_400_000, EVERY_LENGTH), FINE_OR_NOT),
    "tiff, width twice": (lambda: grey_tiff(WIDTH, Tag(256, LONG, 10_000), HEIGHT), FINE_OR_NOT),
    "tiff, width twice, in eight bytes": (
        lambda: grey_tiff(Tag(256, LONG, 64), Tag(256, LONG8, 1_000_000), HEIGHT),
        FINE_OR_NOT,
    ),
    "jpeg of 600 scans": (lambda: many_scans(600), {COMPLEX}),
    "jpeg of 2 million segments": (many_segments, {COMPLEX}),
    "avif that says 64 x 64": (lambda: LYING_AVIF, {None, UNREADABLE, COMPLEX}),
    "icc profile of 16-bit numbers": (
        lambda: grey_tiff(WIDTH, HEIGHT, behind=(*ONE_STRIP, Tag(34675, SHORT, 7, 1000))),
        {None},
    ),
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


async def posted(http: httpx.AsyncClient, body: bytes) -> tuple[str | None, float]:
    """The file's error; the longest that a health check or a small upload took meanwhile."""
    work = asyncio.create_task(http.post("/search", files={"image": ("a", body)}))
    longest_s = 0.0
    while not work.done():
        for asking in (http.get("/healthz"), http.post("/search", files={"image": ("a", png())})):
            began = time.monotonic()
            assert (await asking).status_code == 200
            longest_s = max(longest_s, time.monotonic() - began)
    return (await work).json().get("code"), longest_s


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_file_costs_the_service_and_others_little(
    kind: str, served: tuple[Process, httpx.AsyncClient]
) -> None:
    process, http = served
    make, codes = HOSTILE[kind]
    body = make()
    memory, times_s = Memory(process), list[float]()
    while not times_s or (min(times_s) > BESIDE_S and len(times_s) < TRIES):
        code, beside_s = await posted(http, body)
        assert code in codes
        times_s.append(beside_s)
    assert min(times_s) <= BESIDE_S, times_s
    assert memory.peak_bytes <= 3 * len(body) + SLACK_BYTES
