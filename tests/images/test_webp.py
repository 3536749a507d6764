"""WebP through libwebp: the same picture as Pillow decodes, and the walk that finds it."""

import io
import struct
from types import SimpleNamespace

import pytest
from PIL import Image

from app.errors import ImageUnreadable
from app.images import libwebp, normalise
from app.images.libwebp import open_libwebp
from app.images.limits import ImageLimits
from app.images.normalise import Raw, examine
from app.images.picture import PillowPicture
from app.images.sniff import Kind
from app.images.structure import PARTS_MAX
from app.images.webp import WebpPicture, find_frame
from tests.images.files import (
    animated_webp,
    difference,
    encoded,
    exif,
    noise,
    profile,
    riff_chunk,
    scene,
    sent,
    webp_frame,
    webp_header,
    webp_of,
)
from tests.images.table import cut_out


def opened(file: bytes) -> WebpPicture:
    assert normalise.LIBWEBP
    return WebpPicture(memoryview(file), normalise.LIBWEBP)


def by_pillow(file: bytes) -> PillowPicture:
    return PillowPicture(Kind.WEBP, (memoryview(file),), None)


def soft(width: int = 320, height: int = 208) -> Image.Image:
    return noise(width // 16, height // 16).resize((width, height), Image.Resampling.BICUBIC)


FILES = {
    "lossy": encoded(soft(), "WEBP"),
    "lossless": encoded(soft(), "WEBP", lossless=True),
    "transparent": encoded(cut_out().resize((320, 208)), "WEBP"),
    "transparent, lossless": encoded(cut_out().resize((320, 208)), "WEBP", lossless=True),
    "animated": encoded(soft(), "WEBP", save_all=True, append_images=[soft()]),
    "with a part of it first": animated_webp((320, 208), webp_frame(soft(120, 90), (48, 32))),
}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_at_its_own_size_it_is_what_pillow_decodes(file: bytes) -> None:
    ours, theirs = opened(file).decode(0), by_pillow(file).decode(0)
    assert ours.size == theirs.size == (320, 208)
    assert difference(ours, theirs) == 0


@pytest.mark.parametrize("max_side", [150, 75])
@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_scaled_while_decoding_it_looks_the_same(file: bytes, max_side: int) -> None:
    ours, theirs = opened(file).decode(max_side), by_pillow(file).decode(max_side)
    assert ours.size == theirs.size
    assert difference(ours, theirs) < 3


def test_sides_that_cannot_be_divided_are_rounded_up() -> None:
    ours = opened(encoded(soft(301, 199), "WEBP")).decode(75)
    theirs = by_pillow(encoded(soft(301, 199), "WEBP")).decode(75)
    assert ours.size == theirs.size == (76, 50)


def test_what_stands_behind_the_frames_is_found() -> None:
    file = encoded(
        scene(),
        "WEBP",
        save_all=True,
        append_images=[cut_out()],
        exif=exif(orientation=6),
        icc_profile=profile("sRGB"),
    )
    picture = opened(file)
    assert picture.orientation == 6
    assert picture.icc == profile("sRGB")


LOSSLESS = encoded(scene(), "WEBP", lossless=True)[12:]
HEADER = webp_header(64, 48)


@pytest.mark.parametrize(
    "chunks",
    [
        (LOSSLESS,),
        (HEADER, LOSSLESS),
        (HEADER, riff_chunk(b"what", b"odd"), LOSSLESS, riff_chunk(b"what", b"")),
        (HEADER, riff_chunk(b"ALPH", b"not for a lossless one"), LOSSLESS),
        (HEADER, riff_chunk(b"ICCP", b""), LOSSLESS, riff_chunk(b"EXIF", b"")),
        (LOSSLESS, b"rest"),
    ],
)
def test_the_picture_is_found_among_other_chunks(chunks: tuple[bytes, ...]) -> None:
    picture = opened(webp_of(*chunks) + b"and what is no part of it")
    assert picture.size == (64, 48)
    assert picture.icc is None
    assert difference(picture.decode(0), scene()) == 0


@pytest.mark.parametrize(
    ("file", "saying"),
    [
        (webp_of(LOSSLESS)[:-1], "cut off"),
        (webp_of(), "no picture"),
        (webp_of(HEADER, webp_frame(scene())[:24]), "cut off or damaged"),
        (webp_of(HEADER, riff_chunk(b"ANMF", bytes(3))), "no picture"),
        (webp_of(b"VP8L" + struct.pack("<I", 1 << 31)), "cut off or damaged"),
        (webp_of(riff_chunk(b"VP8X", bytes(9)), LOSSLESS), "header is too short"),
        (webp_of(webp_header(63, 48), LOSSLESS), "larger than its picture"),
        (webp_of(webp_frame(scene(), (2, 0))), "larger than its picture"),
        (webp_of(riff_chunk(b"nono", b"") * PARTS_MAX), "chunks"),
        (webp_of(riff_chunk(b"VP8L", bytes(20))), "cut off or damaged"),
    ],
)
def test_a_file_without_a_whole_picture_is_unreadable(file: bytes, saying: str) -> None:
    with pytest.raises(ImageUnreadable, match=saying):
        examine(memoryview(file), ImageLimits()).finish()


def test_no_more_metadata_is_read_than_anyone_writes() -> None:
    found = find_frame(memoryview(webp_of(HEADER, riff_chunk(b"ICCP", bytes(2 << 20)), LOSSLESS)))
    assert found.icc
    assert len(found.icc) == 1 << 20


def test_without_the_library_pillow_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalise, "LIBWEBP", None)
    plan = examine(memoryview(FILES["animated"]), ImageLimits())
    assert isinstance(plan, Raw)
    assert isinstance(plan.picture, PillowPicture)
    assert plan.memory_bytes > 320 * 208 * 16
    assert Image.open(io.BytesIO(sent(plan.finish()))).size == (320, 208)


def test_a_library_of_another_abi_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_libwebp()
    strange = SimpleNamespace(WebPInitDecoderConfigInternal=lambda _config, _abi: 0)
    monkeypatch.setattr(libwebp, "load", lambda _module, _prototypes: strange)
    assert open_libwebp() is None
