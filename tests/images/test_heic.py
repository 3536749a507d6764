"""HEIC through libde265 and libavif: the same picture as pillow_heif decodes, in bands."""

import io
import struct
from types import SimpleNamespace
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from app.errors import ImageTypeUnsupported, ImageUnreadable
from app.images import heic as heic_module
from app.images import libde265, libheif, normalise
from app.images.boxes import Properties
from app.images.heic import HeicPicture
from app.images.hevc import PICTURE_SET, find_config, kind_of, units
from app.images.items import Items
from app.images.libavif_abi import AvifImage
from app.images.libde265 import Decoder, LibDe265, open_libde265
from app.images.libheif import SIDEWAYS, open_libheif
from app.images.limits import ImageLimits
from app.images.normalise import UPRIGHT, Raw, examine
from app.images.whole_heic import WholeHeicPicture
from app.images.yuv import Plane, lend
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


def opened(file: bytes | bytearray) -> HeicPicture:
    libraries = (normalise.LIBHEIF, normalise.LIBAVIF, normalise.LIBDE265)
    assert all(libraries)
    return HeicPicture(memoryview(file), *libraries)  # type: ignore[arg-type]  # seen above


FILES = {
    "4:2:0": heic(),
    "4:2:2": heic(chroma=422),
    "4:4:4": heic(chroma=444),
    "of tiles": heic(tile_size=64),
    "of tiles that are filled up": heic(tile_size=48),
    "of tiles, limited range": heic(tile_size=64, full_range_flag=0),
    "of one tile, and some": heic(tile_size=512),
    "of tiles, 10 bits, 4:4:4": of_16_bits("RGB", soft(), tile_size=64, chroma=444),
    "of tiles, stored as RGB": heic(tile_size=64, chroma=444, matrix_coefficients=0),
    "of tiles in a row": heic(soft(301, 60), tile_size=64),
    "of tiles in a column": heic(soft(60, 301), tile_size=64),
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
    # libheif turns all colours into those of JPEG first.
    assert difference(ours, theirs) < 2
    assert picture.decoding_bytes(max_side) > 0


def test_with_no_room_for_fine_work_it_looks_nearly_the_same() -> None:
    file = of_16_bits("RGB", soft(), chroma=444)
    ours, theirs = opened(file).decode(0), WholeHeicPicture(memoryview(file)).decode(0)
    assert difference(ours, theirs) < 0.8


def test_a_unit_of_more_than_16_mib_is_taken() -> None:
    """libheif takes none. What fills it up here stands behind it (ITU-T H.265 §7.3.2.14)."""
    file, filling = memoryview(FILES["4:2:0"]), b"\0\0\3" * (6 << 20)
    assert normalise.LIBHEIF
    assert normalise.LIBDE265
    with (
        normalise.LIBHEIF.opened(file) as primary,
        normalise.LIBDE265.decoding(size_limit=1 << 20) as decoder,
    ):
        config = find_config(file, Properties(file).of(primary.item.number))
        decoder.push(config.units)
        data = Items(file).data(primary.item.number)
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


GIVEN = {
    "4:2:0": heic(noise(301, 199)),
    "transparent": heic(noise(301, 199).convert("RGBA")),
    "of tiles": heic(noise(301, 199), tile_size=128),
}


@pytest.mark.parametrize("file", GIVEN.values(), ids=GIVEN.keys())
def test_a_body_that_can_be_written_is_given_back_once_it_is_with_the_decoder(file: bytes) -> None:
    body = bytearray(file)
    picture, again = opened(body), opened(file)
    assert picture.decode(0).tobytes() == again.decode(0).tobytes()
    assert picture.decoding_bytes(0) < again.decoding_bytes(0)
    pages = range(0, len(file), 4096)
    gone = [at for at in pages if any(file[at : at + 4096]) and not any(body[at : at + 4096])]
    assert gone
    assert body[: body.index(b"mdat")] == file[: file.index(b"mdat")]


@pytest.mark.parametrize(("name", "most"), [("CUT_MAX", 1), ("ALPHA_MAX", 0)])
def test_what_is_mostly_not_shown_is_not_decoded(
    name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened(FILES["transparent"]).size == (301, 199)
    monkeypatch.setattr(heic_module, name, most)
    with pytest.raises(ValueError, match="not shown"):
        opened(FILES["transparent"])


def test_transparency_that_is_not_found_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libheif, "AUXILIARY_MAX", 0)
    with pytest.raises(ValueError, match="transparency"):
        opened(FILES["transparent"])


@pytest.mark.parametrize("chroma", range(4, 8))
def test_a_chroma_that_there_is_not_is_refused(chroma: int) -> None:
    file = heic(soft(64, 64))
    config = find_config(memoryview(file), Properties(memoryview(file)).of(1))
    (said,) = [bytes(unit) for unit in config.units if kind_of(unit) == PICTURE_SET]
    other_ = parameters(chroma, 64, 64).ljust(len(said), b"\0")[: len(said)]
    with pytest.raises(ImageTypeUnsupported):
        examine(memoryview(file.replace(said, other_)), ImageLimits())


def test_tiles_of_one_place_are_not_decoded_as_often_as_they_are_named() -> None:
    """Else a small file would take as long as a large one."""
    file = bytearray(heic(noise(301, 199), tile_size=64))
    at = file.index(b"iloc") + 12
    n_bytes, end = 20, len(file)
    # Of each item: its number, two that are 0, a base, how many parts there are, and the only one.
    for place in range(at + n_bytes, at + 6 * n_bytes, n_bytes):
        struct.pack_into(">IHII", file, place + 6, 0, 1, 0, end // 4)
    with pytest.raises(ValueError, match="more than once"):
        opened(file)


def test_its_profile_is_found() -> None:
    assert opened(FILES["4:2:0"]).icc is None
    srgb = profile("sRGB")  # It tells the second that it was made in
    assert opened(heic(icc_profile=srgb)).icc == srgb


def test_a_damaged_file_is_unreadable() -> None:
    for file in (FILES["4:2:0"], FILES["of tiles"]):
        for damaged in (file[:40], file[: len(file) // 2], file.replace(b"hvcC", b"hvcD")):
            with pytest.raises(ImageUnreadable):
                examine(memoryview(damaged), ImageLimits()).finish()


def other(file: bytes, was: bytes, by: bytes) -> bytes:
    assert was in file
    return file.replace(was, by)


OTHERS = {
    "tiles of another coding": other(FILES["of tiles"], b"hvc1", b"av01"),
    "another picture under its name": other(FILES["of tiles"], b"grid", b"iden"),
    "tiles that are turned": other(
        heic(exif=exif(orientation=6), tile_size=64),
        b"\x04\x82\x03\x04\x05",
        b"\x04\x82\x03\x04\x86",
    ),
}


@pytest.mark.parametrize("file", OTHERS.values(), ids=OTHERS.keys())
def test_what_is_put_together_otherwise_is_told_so(file: bytes) -> None:
    with pytest.raises(ImageTypeUnsupported, match="as phones and cameras do"):
        examine(memoryview(file), ImageLimits())


@pytest.mark.parametrize("options", [{}, {"tile_size": 512}])
def test_a_picture_of_another_size_than_announced_is_unreadable(options: dict[str, int]) -> None:
    """Else a few bytes of boxes would let a vast one in."""
    file = heic(noise(1300, 1100), **options)
    size = (1300).to_bytes(4, "big") + (1100).to_bytes(4, "big")
    announced = (64).to_bytes(4, "big") + (48).to_bytes(4, "big")
    assert size in file
    with pytest.raises(ImageUnreadable):
        examine(memoryview(file.replace(size, announced)), ImageLimits()).finish()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_may_be_cut_after_it_was_turned(orientation: int) -> None:
    """Encoders write it the other way round."""
    file = bytearray(heic(soft(301, 199), exif=exif(orientation=orientation)))
    at = file.index(b"ipma") + 15
    kinds = [box.kind for box in Properties(memoryview(bytes(file))).of(1)]
    cut = file.pop(at + kinds.index(b"clap"))
    file.insert(at + len(kinds) - 1, cut)
    if orientation in SIDEWAYS:
        wide, high = struct.pack(">II", 301, 1), struct.pack(">II", 199, 1)
        assert wide + high in file
        file = file.replace(wide + high, high + wide)
    picture, theirs = opened(bytes(file)), WholeHeicPicture(memoryview(file)).decode(0)
    ours = picture.decode(0).transpose(UPRIGHT[picture.orientation])
    assert ours.size == theirs.size
    assert difference(ours, theirs) < 2


@pytest.mark.parametrize("missing", ["LIBHEIF", "LIBAVIF", "LIBDE265"])
def test_without_a_library_pillow_heif_decodes(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalise, missing, None)
    plan = examine(memoryview(FILES["4:2:0"]), ImageLimits())
    assert isinstance(plan, Raw)
    assert isinstance(plan.picture, WholeHeicPicture)
    assert plan.memory_bytes > 301 * 199 * 7
    assert Image.open(io.BytesIO(sent(plan.finish()))).size == (301, 199)


@pytest.mark.parametrize("options", [{}, {"tile_size": 64}])
def test_what_is_stored_as_rgb_arrives_so(options: dict[str, Any]) -> None:
    file = heic(chroma=444, matrix_coefficients=0, **options)
    plan = examine(memoryview(file), ImageLimits())
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


Y = Plane((8, 6), 8, 1, 8)
MISFITS: dict[str, list[Plane]] = {
    "one is missing": [Y, Plane((4, 3), 8, 1, 4), Plane((4, 3), 8, 0, 4)],
    "one is smaller": [Y, Plane((4, 3), 8, 1, 4), Plane((4, 2), 8, 1, 4)],
    "one is deeper": [Y, Plane((4, 3), 10, 1, 8), Plane((4, 3), 8, 1, 4)],
}


@pytest.mark.parametrize("planes", MISFITS.values(), ids=MISFITS.keys())
def test_planes_are_read_only_where_they_fit_together(planes: list[Plane]) -> None:
    with pytest.raises(ValueError, match="plane"):
        lend(AvifImage(), planes, 1)


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
    config = find_config(memoryview(file), Properties(memoryview(file)).of(1))
    (said,) = [bytes(unit) for unit in config.units if kind_of(unit) == PICTURE_SET]
    promised = parameters(1, 65_528, 65_528).ljust(len(said), b"\0")[: len(said)]
    with pytest.raises(ValueError, match="not as announced"):
        opened(file.replace(said, promised))
    with pytest.raises(ImageUnreadable):
        examine(memoryview(file.replace(said, promised)), ImageLimits()).finish()
