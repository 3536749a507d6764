"""HEIC through libheif and libavif: the same picture as pillow_heif decodes, in bands."""

import io
from types import SimpleNamespace
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from app.errors import ImageUnreadable
from app.images import libheif, normalise
from app.images.heic import HeicPicture, lend
from app.images.libavif import AvifImage
from app.images.libheif import Decoded, Plane, open_libheif
from app.images.limits import ImageLimits
from app.images.normalise import Raw, examine
from app.images.whole_heic import WholeHeicPicture
from tests.images.files import difference, encoded, exif, noise, profile, sent, turned


def soft(width: int = 301, height: int = 199) -> Image.Image:
    """Colours without edges, of which decoders make the same."""
    one, two = Image.radial_gradient("L"), Image.linear_gradient("L")
    return Image.merge("RGB", (one, two, two.rotate(90))).resize((width, height))


def heic(image: Image.Image | None = None, **options: Any) -> bytes:
    return encoded(image or soft(), "HEIF", **{"quality": 90} | options)


def of_16_bits(mode: str, image: Image.Image) -> bytes:
    eight = image.convert(mode).tobytes()
    sixteen = bytearray(2 * len(eight))
    sixteen[1::2] = eight
    file = io.BytesIO()
    pillow_heif.encode(f"{mode};16", image.size, bytes(sixteen), file, quality=90)
    return file.getvalue()


def premultiplied() -> bytes:
    image = transparent().convert("RGBa")
    file = io.BytesIO()
    pillow_heif.from_bytes("RGBa", image.size, image.tobytes()).save(file, quality=90)
    return file.getvalue()


def transparent() -> Image.Image:
    image = soft()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def opened(file: bytes) -> HeicPicture:
    assert normalise.LIBHEIF
    assert normalise.LIBAVIF
    picture = HeicPicture(memoryview(file), normalise.LIBHEIF, normalise.LIBAVIF)
    assert picture.is_planar
    return picture


FILES = {
    "4:2:0": heic(),
    "4:2:2": heic(chroma=422),
    "4:4:4": heic(chroma=444),
    "of tiles": heic(tile_size=64),
    "transparent": heic(transparent()),
    "premultiplied": premultiplied(),
    "grey": heic(soft().convert("L")),
    "10 bits": of_16_bits("RGB", soft()),
    "10 bits, transparent": of_16_bits("RGBA", transparent()),
    "BT.709": heic(matrix_coefficients=1),
    "BT.2020": heic(matrix_coefficients=9),
    "limited range": heic(full_range_flag=0),
    "limited range, BT.709": heic(full_range_flag=0, matrix_coefficients=1),
}


@pytest.mark.parametrize("max_side", [0, 150])
@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_it_looks_as_pillow_heif_decodes_it(file: bytes, max_side: int) -> None:
    picture = opened(file)
    ours, theirs = picture.decode(max_side), WholeHeicPicture(memoryview(file)).decode(max_side)
    assert ours.size == theirs.size
    assert difference(ours, theirs) < 0.8
    assert picture.decoding_bytes(max_side) > 0


@pytest.mark.parametrize("size", [(300, 200), (301, 199), (41, 300)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_upright(orientation: int, size: tuple[int, int]) -> None:
    """A picture of odd sides is a part of what is stored."""
    stored = turned(orientation).resize(size)
    file = heic(stored, exif=exif(orientation=orientation))
    assert opened(file).orientation == orientation
    assert opened(file).size == size
    arrived = Image.open(io.BytesIO(sent(examine(memoryview(file), ImageLimits()).finish())))
    theirs = WholeHeicPicture(memoryview(file)).decode(0)
    assert arrived.size == theirs.size
    assert difference(arrived, theirs) < 3


def test_its_profile_is_found() -> None:
    assert opened(FILES["4:2:0"]).icc is None
    srgb = profile("sRGB")  # It tells the second that it was made in
    assert opened(heic(icc_profile=srgb)).icc == srgb


def test_a_damaged_file_is_unreadable() -> None:
    file = FILES["4:2:0"]
    for damaged in (file[:40], file[: len(file) // 2], file.replace(b"hvc1", b"hvc9")):
        with pytest.raises(ImageUnreadable):
            examine(memoryview(damaged), ImageLimits()).finish()


def test_a_picture_of_another_size_than_announced_is_unreadable() -> None:
    """Else a few bytes of boxes would let a vast one in."""
    file = heic(noise(1300, 1100))
    size = (1300).to_bytes(4, "big") + (1100).to_bytes(4, "big")
    announced = (64).to_bytes(4, "big") + (48).to_bytes(4, "big")
    assert size in file
    with pytest.raises(ImageUnreadable):
        examine(memoryview(file.replace(size, announced)), ImageLimits()).finish()


def test_a_picture_that_is_cut_after_it_was_turned_is_left_to_pillow_heif() -> None:
    file = heic(soft(301, 199), exif=exif(orientation=6))
    cut_then_turned, turned_then_cut = b"\x84\x86\0\0", b"\x86\x84\0\0"
    assert file.count(cut_then_turned) == 1
    swapped = file.replace(cut_then_turned, turned_then_cut)
    plan = examine(memoryview(swapped), ImageLimits())
    assert isinstance(plan, Raw)
    assert isinstance(plan.picture, WholeHeicPicture)


@pytest.mark.parametrize("missing", ["LIBHEIF", "LIBAVIF"])
def test_without_a_library_pillow_heif_decodes(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalise, missing, None)
    plan = examine(memoryview(FILES["4:2:0"]), ImageLimits())
    assert isinstance(plan, Raw)
    assert isinstance(plan.picture, WholeHeicPicture)
    assert plan.memory_bytes > 301 * 199 * 7
    assert Image.open(io.BytesIO(sent(plan.finish()))).size == (301, 199)


def test_what_is_stored_as_rgb_is_left_to_pillow_heif() -> None:
    plan = examine(memoryview(heic(chroma=444, matrix_coefficients=0)), ImageLimits())
    assert isinstance(plan, Raw)
    assert isinstance(plan.picture, WholeHeicPicture)
    assert difference(Image.open(io.BytesIO(sent(plan.finish()))), soft()) < 3


def test_a_library_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_libheif()
    strange = SimpleNamespace(heif_get_version_number_major=lambda: 2)
    monkeypatch.setattr(libheif, "load", lambda _module, _prototypes: strange)
    assert open_libheif() is None


Y = Plane((8, 6), 8, 0, 8)
MISFITS: dict[str, list[Plane | None]] = {
    "none": [None, None, None],
    "one is missing": [Y, Plane((4, 3), 8, 0, 4), None],
    "one is smaller": [Y, Plane((4, 3), 8, 0, 4), Plane((4, 2), 8, 0, 4)],
    "one is deeper": [Y, Plane((4, 3), 10, 0, 8), Plane((4, 3), 8, 0, 4)],
}


@pytest.mark.parametrize("planes", MISFITS.values(), ids=MISFITS.keys())
def test_planes_are_read_only_where_they_fit_together(planes: list[Plane | None]) -> None:
    with pytest.raises(ValueError, match="plane"):
        lend(AvifImage(), planes, 1)


def stand_in(colorspace: int) -> Any:
    """Of libheif: an image in these colours, that does not say how they are meant."""
    return SimpleNamespace(
        heif_image_get_colorspace=lambda _: colorspace,
        heif_image_get_chroma_format=lambda _: 1,
        heif_image_is_premultiplied_alpha=lambda _: 0,
        heif_image_get_nclx_color_profile=lambda _, __: SimpleNamespace(code=1),
    )


def test_colours_without_a_meaning_are_those_of_jpeg() -> None:
    decoded = Decoded(stand_in(0), None)
    assert (decoded.colours, decoded.full_range) == ((2, 2, 2), True)


def test_other_colours_than_announced_are_an_error() -> None:
    with pytest.raises(ValueError, match="other colours"):
        Decoded(stand_in(1), None)
