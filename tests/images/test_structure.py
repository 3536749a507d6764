"""What is found by walking along a file, and what of it is kept."""

import struct
from typing import Any

import pytest

from app.errors import ImageUnreadable
from app.images import bmp, gif, jpeg, png, tiff
from app.images.structure import PARTS_MAX, read_orientation
from tests.images import files
from tests.images.files import chunk, encoded, exif, scene, segment, with_chunk, with_segment


def joined(parts: tuple[memoryview, ...]) -> bytes:
    return b"".join(parts)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
def test_a_clean_jpeg_is_one_piece(options: dict[str, Any]) -> None:
    file = files.jpeg(**options)
    found = jpeg.walk(memoryview(file))
    assert joined(found.parts) == file
    assert len(found.parts) == 1
    assert found.sound
    assert found.size == (64, 48)


def test_a_progressive_jpeg_tells_what_its_coefficients_take() -> None:
    pixels = 64 * 48
    for subsampling, samples in ((0, 3.0), (1, 2.0), (2, 1.5)):
        file = files.jpeg(progressive=True, subsampling=subsampling)
        assert jpeg.walk(memoryview(file)).coefficients_bytes == 2 * samples * pixels


@pytest.mark.parametrize("marker", [*range(0xE1, 0xF0), 0xFE])
def test_metadata_is_cut_out_of_a_jpeg(marker: int) -> None:
    found = jpeg.walk(memoryview(with_segment(marker, b"anything at all")))
    assert joined(found.parts) == files.jpeg()
    assert found.sound


def test_a_jfxx_thumbnail_is_cut_out() -> None:
    found = jpeg.walk(memoryview(with_segment(0xE0, b"JFXX\0\x10" + files.jpeg())))
    assert joined(found.parts) == files.jpeg()


def test_the_adobe_segment_is_kept() -> None:
    adobe = b"Adobe\0\x64\0\0\0\0\1"
    file = with_segment(0xEE, adobe)
    found = jpeg.walk(memoryview(file))
    assert joined(found.parts) == file
    assert found.sound
    assert not jpeg.walk(memoryview(with_segment(0xEE, adobe + b"more"))).sound


def test_a_profile_in_several_segments_is_put_together() -> None:
    file = files.jpeg()
    for number in (1, 2):
        file = with_segment(0xE2, b"ICC_PROFILE\0" + bytes((number, 2)) + b"ab"[number - 1 :], file)
    assert jpeg.walk(memoryview(file)).icc == b"abb"


def test_only_the_first_exif_segment_counts() -> None:
    first, second = exif(orientation=3), exif(orientation=6)
    file = with_segment(0xE1, first, with_segment(0xE1, second))
    assert jpeg.walk(memoryview(file)).orientation == 3


@pytest.mark.parametrize(
    ("file", "saying"),
    [
        (b"\xff\xd8\xff", "ends before"),
        (b"\xff\xd8" + segment(0xC0, b"\x08\0\x30\0\x40\1"), "frame header"),
        (b"\xff\xd8" + segment(0xC0, b"\x08"), "frame header"),
        (b"\xff\xd8" + segment(0xDA, bytes(6)) + b"\xff\xd9", "no frame header"),
        (b"\xff\xd8\xff\xe1\xff\xff", "cut off before"),
        (b"\xff\xd8\xff\xe1\0\1", "cut off before"),
        (b"\xff\xd8\xff\xd9", "ends before"),
        (b"\xff\xd8" + segment(0xFE, b"") * (PARTS_MAX + 1), "segments"),
    ],
)
def test_a_jpeg_damaged_before_its_picture_is_unreadable(file: bytes, saying: str) -> None:
    with pytest.raises(ImageUnreadable, match=saying):
        jpeg.walk(memoryview(file))


def test_two_frames_in_one_jpeg_are_unreadable() -> None:
    file = files.jpeg()
    frame = file[file.index(b"\xff\xc0") : file.index(b"\xff\xc4")]
    with pytest.raises(ImageUnreadable, match="frame header"):
        jpeg.walk(memoryview(file[:2] + frame + file[2:]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\xff\xc0", b"\xff\xc9"),  # arithmetic coding
        (b"\xff\xc4", b"\xff\xcc"),  # its conditioning
        (b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),  # 12 bits
        (b"\xff\xd9", b""),  # no end
        (b"\xff\xd9", b"\xff\xe1\xff\xff"),  # a segment that runs out of the file
        (b"\xff\xd9", b"\xff"),
    ],
)
def test_a_jpeg_that_not_all_decoders_read_alike_is_not_sound(old: bytes, new: bytes) -> None:
    file = files.jpeg()
    assert old in file
    assert not jpeg.walk(memoryview(file.replace(old, new, 1))).sound


def test_the_end_of_a_scan_is_found_across_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    file = files.jpeg()
    for step in range(1, 9):
        monkeypatch.setattr(jpeg, "SCAN_STEP_BYTES", step)
        assert jpeg.walk(memoryview(file)).sound


@pytest.mark.parametrize(
    "kind", [b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf", b"iCCP", b"hIST", b"sPLT", b"prVt"]
)
def test_metadata_is_cut_out_of_a_png(kind: bytes) -> None:
    found = png.walk(memoryview(with_chunk(kind, b"anything")))
    assert found
    assert joined(found.parts) == files.png()
    assert found.sound


@pytest.mark.parametrize("kind", [b"sRGB", b"gAMA", b"cHRM", b"pHYs"])
def test_what_a_png_says_of_its_samples_is_kept(kind: bytes) -> None:
    file = with_chunk(kind, bytes(4))
    found = png.walk(memoryview(file))
    assert found
    assert joined(found.parts) == file


@pytest.mark.parametrize(
    "file",
    [
        files.png()[:-1],
        files.png()[:20],
        files.png().replace(b"IDAT", b"IDAX"),
        files.png()[:60] + b"\x55" + files.png()[61:],
        with_chunk(b"NEWc", b"critical"),
        files.png()[:33] + chunk(b"IEND", b""),
        files.png()[:8] + chunk(b"tEXt", b"first") + files.png()[8:],
    ],
)
def test_a_png_that_is_not_whole_is_for_a_decoder_to_judge(file: bytes) -> None:
    assert png.walk(memoryview(file)) is None


def test_a_profile_that_cannot_be_unpacked_is_none() -> None:
    found = png.walk(memoryview(with_chunk(b"iCCP", b"name\0\0not deflated")))
    assert found
    assert found.icc is None
    assert found.sound


def test_a_png_of_too_many_chunks_is_unreadable() -> None:
    file = files.png()
    file = file[:33] + chunk(b"tEXt", b"") * PARTS_MAX + file[33:]
    with pytest.raises(ImageUnreadable, match="chunks"):
        png.walk(memoryview(file))


def test_a_gif_is_cut_down_to_its_first_frame() -> None:
    one = encoded(scene().quantize(), "GIF")
    other = scene(64, 47)
    file = encoded(scene().quantize(), "GIF", save_all=True, append_images=[other], comment=b"hi")
    kept = joined(gif.walk(memoryview(file)).parts)
    assert b"hi" not in kept
    assert len(kept) <= len(one) + 40 < len(file)


@pytest.mark.parametrize(
    ("file", "saying"),
    [
        (b"GIF89a", "cut off or damaged"),
        (b"GIF89a" + bytes(7), "cut off or damaged"),
        (b"GIF89a" + bytes(7) + b"!\xfe\xff", "cut off or damaged"),
        (b"GIF89a" + bytes(7) + b";", "cut off or damaged"),
        (b"GIF89a" + bytes(7) + b"!\xfe\0" * PARTS_MAX, "extensions"),
        (b"GIF89a" + bytes(7) + b"!\xfe" + b"\1x" * gif.BLOCKS_MAX, "blocks"),
    ],
)
def test_a_gif_without_a_frame_is_unreadable(file: bytes, saying: str) -> None:
    with pytest.raises(ImageUnreadable, match=saying):
        gif.walk(memoryview(file))


def test_a_tiff_of_too_many_strips_is_unreadable() -> None:
    little = struct.pack("<2sHIHHHII", b"II", 42, 8, 1, 273, 4, PARTS_MAX + 1, 8)
    motorola = struct.pack(">2sHIHHHII", b"MM", 42, 8, 1, 273, 4, PARTS_MAX + 1, 8)
    big = struct.pack("<2sHHHQQHHQQ", b"II", 43, 8, 0, 16, 1, 324, 4, PARTS_MAX + 1, 8)
    for file in (little, motorola, big):
        with pytest.raises(ImageUnreadable, match="strips or tiles"):
            tiff.check(memoryview(file))


def test_a_tiff_with_short_tile_sizes_is_measured() -> None:
    entries = [(256, 64), (257, 48), (322, 40_000), (323, 40_000)]
    file = struct.pack("<2sHIH", b"II", 42, 8, 4)
    file += b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    with pytest.raises(ImageUnreadable, match="tiles of more than"):
        tiff.check(memoryview(file))


def test_plain_bitmaps_of_any_size_pass() -> None:
    bmp.check(memoryview(encoded(scene(), "BMP")))


@pytest.mark.parametrize(
    ("block", "orientation"),
    [
        (None, 1),
        (b"", 1),
        (b"Exif\0\0", 1),
        (b"no exif", 1),
        (b"II*\0", 1),
        (exif(orientation=6), 6),
        (exif(orientation=6).removeprefix(b"Exif\0\0"), 6),
        (exif(orientation=0), 1),
        (exif(orientation=9), 1),
        (exif(gps=True), 1),
        (b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x08\0\0\0", 8),
        (b"II*\0\x08\0\0\0\1\0\x12\1\4\0\1\0\0\0\x08\0\0\0", 1),
        (b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\5\0\0", 5),
        (b"II*\0\x08\0\0\0\xff\xff", 1),
        (b"II*\0\xff\xff\xff\xff", 1),
    ],
)
def test_the_orientation_is_read_from_what_is_there(block: bytes | None, orientation: int) -> None:
    assert read_orientation(block) == orientation


@pytest.mark.parametrize(
    "damaged",
    [
        b"\xff\xd8" + segment(0xC0, bytes((8, 0, 9, 0, 9, 1, 1, 0x11, 0))) + b"\xff\xda\0\2",
        b"\xff\xd8" + segment(0xC2, bytes((8, 0, 9, 0, 9, 0))) + segment(0xDA, b"\0\0\0\0"),
    ],
    ids=["a scan that says nothing", "a frame of no components"],
)
def test_a_jpeg_that_says_nothing_is_unreadable(damaged: bytes) -> None:
    with pytest.raises(ImageUnreadable):
        jpeg.walk(memoryview(damaged))
