"""Damaged files: a picture goes upstream, or the caller is refused (FUZZ_FILES=10000: so many)."""

import asyncio
import os
import random
from collections.abc import Callable

import pytest

from tests.e2e.images import ordinary
from tests.e2e.images.files import cut_out, encoded, exif, jpeg, png, profile, scene, text_chunks
from tests.e2e.images.uploads import uploads
from tests.e2e.images.workers import descriptors, resident_bytes, workers_of
from tests.installed import reads_proc

pytestmark = reads_proc

FILES = int(os.environ.get("FUZZ_FILES", "2000"))
AT_ONCE = 8
CODES = {"image_dimensions", "image_too_complex", "image_type_unsupported", "image_unreadable"}
CODES |= {"", "image_unfetchable"}
"""A JPEG with damaged tables passes by its structure, and the upstream cannot decode it."""
WORKER_MAX_BYTES = 80 << 20
"""Resident, at the end; a fresh one has 25 MiB."""

SEEDS: list[Callable[[], bytes]] = [
    *ordinary.WHOLE.values(),
    lambda: jpeg(exif=exif(orientation=6, gps=True), icc_profile=profile("sRGB")),
    lambda: jpeg(scene(40, 30).convert("CMYK"), progressive=True, restart_marker_blocks=7),
    lambda: png(pnginfo=text_chunks(), exif=exif(orientation=3)),
    lambda: png(scene(120, 90).quantize(16), interlace=1),
    lambda: png(scene().convert("I;16")),
    lambda: encoded(scene(), "TIFF", compression="jpeg"),
    lambda: encoded(cut_out(), "WEBP", icc_profile=profile("sRGB"), exif=exif(orientation=6)),
    lambda: encoded(cut_out(), "HEIF", exif=exif(orientation=5)),
    lambda: encoded(cut_out(), "AVIF", speed=10),
]


def damaged(file: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled or set to an extreme; the signature stays."""
    body = bytearray(file)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at, length = chance.randrange(4, len(body)), chance.choice((1, 2, 4, 40))
        change = chance.randrange(4)
        if change == 0:
            body[at] = chance.randrange(256)
        elif change == 1:
            body[at : at + length] = chance.choice((b"\0", b"\xff", b"\x7f")) * length
        elif change == 2:
            del body[at : at + length]
        else:
            body[at:at] = body[at : at + length]
    return bytes(body)


@pytest.mark.timeout(1200)
async def test_thousands_of_damaged_files_leave_nothing_behind() -> None:
    chance, seeds = random.Random(17), [make() for make in SEEDS]
    bodies = (damaged(seeds[number % len(seeds)], chance) for number in range(FILES))
    answers: dict[str, int] = {}
    async with uploads(image_max_side=64) as service:

        async def post_all() -> None:
            for body in bodies:
                response = await service.post(body)
                code = "" if response.status_code == 200 else response.json()["code"]
                assert code in CODES, response.text
                answers[code] = answers.get(code, 0) + 1
                assert (await service.service.http.get("/healthz")).status_code == 200

        await service.post(seeds[0])
        before = descriptors()
        await asyncio.gather(*(post_all() for _ in range(AT_ONCE)))
        assert sum(answers.values()) == FILES
        assert answers.keys() >= {"", "image_unreadable", "image_dimensions"}
        assert len(workers_of()) == 2
        assert max(resident_bytes(pid) for pid in workers_of()) < WORKER_MAX_BYTES
        assert descriptors() <= before + 4 * AT_ONCE
    assert not workers_of()
