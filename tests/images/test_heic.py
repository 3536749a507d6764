"""HEIC through libheif and libavif: the same picture as pillow_heif decodes, in bands."""

import io
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from app.errors import ImageUnreadable
from app.images import libde265, libheif, normalise
from app.images.coded_heic import CodedHeicPicture
from app.images.heic import HeicPicture
from app.images.hevc import PICTURE_SET, find_config, kind_of, units
from app.images.libavif_abi import AvifImage
from app.images.libde265 import Decoder, LibDe265, open_libde265
from app.images.libheif import open_libheif
from app.images.libheif_decoded import Decoded, check_whole
from app.images.limits import ImageLimits
from app.images.normalise import Raw, examine
from app.images.whole_heic import WholeHeicPicture
from app.images.yuv import AS_JPEG, Plane, lend
from tests.images.files import difference, encoded, exif, noise, profile, sent, turned
from tests.images.test_boxes import parameters


def soft(width: int = 301, height: int = 199) -> Image.Image:
    """Colours without edges, of which decoders make the same."""
    one, two = Image.radial_gradient("L"), Image.linear_gradient("L")
    return Image.merge("RGB", (one, two, two.rotate(90))).resize((width, height))


def heic(image: Image.Image | None = None, **options: Any) -> bytes:
    return encoded(image or soft(), "HEIF", **{"quality": 90} | options)


def of_16_bits(mode: str, image: Image.Image, **options: Any) -> bytes:
    eight = image.convert(mode).tobytes()
    sixteen = bytearray(2 * len(eight))
    sixteen[1::2] = eight
    file = io.BytesIO()
    pillow_heif.encode(f"{mode};16", image.size, bytes(sixteen), file, quality=90, **options)
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


def coded(file: bytes) -> CodedHeicPicture:
    libraries = (normalise.LIBHEIF, normalise.LIBAVIF, normalise.LIBDE265)
    assert all(libraries)
    return CodedHeicPicture(memoryview(file), *libraries)  # type: ignore[arg-type]  # seen above


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


@pytest.mark.parametrize("max_side", [0, 150])
@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_decoded_at_first_hand_it_looks_the_same(file: bytes, max_side: int) -> None:
    picture = coded(file)
    assert picture.is_coded is (file is not FILES["of tiles"])
    if picture.is_coded:
        ours, theirs = picture.decode(max_side), WholeHeicPicture(memoryview(file)).decode(max_side)
        assert ours.size == theirs.size
        # libheif turns all colours into those of JPEG first.
        assert difference(ours, theirs) < 2


def test_with_no_room_for_fine_work_it_looks_nearly_the_same() -> None:
    file = of_16_bits("RGB", soft(), chroma=444)
    ours, theirs = coded(file).decode(0), WholeHeicPicture(memoryview(file)).decode(0)
    assert difference(ours, theirs) < 0.8


def test_a_unit_of_more_than_16_mib_is_taken() -> None:
    """libheif takes none. What fills it up here stands behind it (ITU-T H.265 §7.3.2.14)."""
    file, filling = memoryview(FILES["4:2:0"]), b"\0\0\3" * (6 << 20)
    assert normalise.LIBHEIF
    assert normalise.LIBDE265
    with (
        normalise.LIBHEIF.opened(file) as primary,
        primary.item.data() as data,
        normalise.LIBDE265.decoding(size_limit=1 << 20) as decoder,
    ):
        config = find_config(file, primary.item.number)
        decoder.push(config.units)
        decoder.push(memoryview(bytes(unit) + filling) for unit in units(data, config.length_bytes))
        assert decoder.picture().planes[0].size[0] >= primary.size[0]


@pytest.mark.parametrize("size", [(300, 200), (301, 199), (41, 300)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_upright(orientation: int, size: tuple[int, int]) -> None:
    """A picture of odd sides is a part of what is stored."""
    stored = turned(orientation).resize(size)
    for options in ({}, {"tile_size": 64}):
        file = heic(stored, exif=exif(orientation=orientation), **options)
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
    for file in (FILES["4:2:0"], FILES["of tiles"]):
        for damaged in (file[:40], file[: len(file) // 2], file.replace(b"hvc1", b"hvc9")):
            with pytest.raises(ImageUnreadable):
                examine(memoryview(damaged), ImageLimits()).finish()


@pytest.mark.parametrize("options", [{}, {"tile_size": 512}])
def test_a_picture_of_another_size_than_announced_is_unreadable(options: dict[str, int]) -> None:
    """Else a few bytes of boxes would let a vast one in."""
    file = heic(noise(1300, 1100), **options)
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


def test_without_libde265_libheif_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalise, "LIBDE265", None)
    plan = examine(memoryview(FILES["4:2:0"]), ImageLimits())
    assert isinstance(plan, Raw)
    assert type(plan.picture) is HeicPicture


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


@pytest.mark.parametrize(
    ("options", "by"), [({}, CodedHeicPicture), ({"tile_size": 64}, WholeHeicPicture)]
)
def test_what_is_stored_as_rgb_arrives_so(options: dict[str, Any], by: type) -> None:
    file = heic(chroma=444, matrix_coefficients=0, **options)
    plan = examine(memoryview(file), ImageLimits())
    assert isinstance(plan, Raw)
    assert type(plan.picture) is by
    assert difference(Image.open(io.BytesIO(sent(plan.finish()))), soft()) < 3


def test_a_library_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_libheif()
    assert open_libde265()
    strange = SimpleNamespace(
        heif_get_version_number_major=lambda: 2, de265_get_version_number_major=lambda: 2
    )
    monkeypatch.setattr(libheif, "load", lambda _module, _prototypes: strange)
    monkeypatch.setattr(libde265, "load", lambda _module, _prototypes: strange)
    assert open_libheif() is None
    assert open_libde265() is None


def test_no_memory_for_a_decoder_is_an_error() -> None:
    full: Any = SimpleNamespace(de265_new_decoder=lambda: None)
    with pytest.raises(MemoryError), LibDe265(full).decoding(size_limit=1):
        pass


def test_a_decoder_that_comes_to_no_end_finds_no_picture() -> None:
    endless: Any = SimpleNamespace(
        de265_flush_data=lambda _: 0,
        de265_decode=lambda _decoder, _more: 0,
        de265_get_next_picture=lambda _: None,
    )
    with pytest.raises(ValueError, match="no picture"):
        Decoder(endless, None).picture()


@pytest.mark.parametrize(
    ("code", "detail", "fails"), [(2, 134, False), (2, 100, True), (7, 0, True)]
)
def test_only_unknown_colours_are_passed_over(code: int, detail: int, *, fails: bool) -> None:
    def remarks(_image: Any, _first: int, into: Any, _most: int) -> int:
        into[0].code, into[0].detail = code, detail
        return 1

    library: Any = SimpleNamespace(heif_image_get_decoding_warnings=remarks)
    with pytest.raises(ValueError, match="libheif") if fails else nullcontext():
        check_whole(library, None)


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
    assert decoded.colours == AS_JPEG


def test_other_colours_than_announced_are_an_error() -> None:
    with pytest.raises(ValueError, match="other colours"):
        Decoded(stand_in(1), None)


def test_a_picture_smaller_than_announced_is_unreadable() -> None:
    file = heic(noise(300, 200))
    stored = next(s for s in ((300, 200), (304, 200), (320, 256), (320, 208)) if pack(s) in file)
    larger = pack((stored[0] + 64, stored[1] + 64))
    with pytest.raises(ImageUnreadable):
        examine(memoryview(file.replace(pack(stored), larger)), ImageLimits()).finish()


def pack(size: tuple[int, int]) -> bytes:
    return size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")


def test_parameters_that_promise_more_than_the_boxes_are_not_believed() -> None:
    """Their decoder would make tables for as many blocks before it knew that they are too many."""
    file = heic(soft(64, 64))
    config = find_config(memoryview(file), 1)
    (said,) = [bytes(unit) for unit in config.units if kind_of(unit) == PICTURE_SET]
    promised = parameters(1, 65_528, 65_528).ljust(len(said), b"\0")[: len(said)]
    picture = coded(file.replace(said, promised))
    assert not picture.is_coded
    with pytest.raises(ImageUnreadable):
        examine(memoryview(file.replace(said, promised)), ImageLimits()).finish()
