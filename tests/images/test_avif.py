"""AVIF through libavif: the same picture as Pillow decodes, in bands."""

import ctypes
import io
from types import SimpleNamespace

import pytest
from PIL import Image, _avif

from app.errors import ImageTypeUnsupported, ImageUnreadable
from app.images import avif, libavif, normalise
from app.images.avif import AvifPicture, _Tiles
from app.images.foreign import load
from app.images.libavif import SIZE_LIMIT, LibAvif, open_libavif
from app.images.libavif_abi import PROTOTYPES, AvifData, AvifDecoder
from app.images.limits import ImageLimits
from app.images.normalise import Raw, examine
from app.images.picture import PillowPicture
from app.images.sniff import Kind
from app.images.yuv import Colours
from tests.images import deep
from tests.images.files import difference, encoded, exif, noise, profile, scene, sent, turned
from tests.images.table import cut_out, grey


def opened(file: bytes) -> AvifPicture:
    assert normalise.LIBAVIF
    return AvifPicture(memoryview(file), normalise.LIBAVIF)


def by_pillow(file: bytes) -> PillowPicture:
    return PillowPicture(Kind.AVIF, (memoryview(file),), None)


def clear() -> Image.Image:
    image = noise(301, 199)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


FILES = {
    "4:2:0": encoded(noise(301, 199), "AVIF", quality=80),
    "4:4:4": encoded(noise(301, 199), "AVIF", quality=80, subsampling="4:4:4"),
    "transparent": encoded(cut_out().resize((301, 199)), "AVIF", quality=80),
    "grey": encoded(grey().resize((301, 199)), "AVIF", quality=80),
    "of two frames": encoded(
        noise(301, 199), "AVIF", save_all=True, append_images=[noise(301, 199)]
    ),
    "of two frames, transparent": encoded(
        clear(), "AVIF", save_all=True, append_images=[noise(301, 199).convert("RGBA")]
    ),
    "premultiplied": encoded(clear(), "AVIF", quality=80, alpha_premultiplied=True),
    "10 bits": deep.TEN_BITS,
    "10 bits, transparent": deep.TEN_BITS_444_ALPHA,
    "10 bits, of tiles": deep.TEN_BITS_444_GRID,
    "with grain": deep.EIGHT_BITS_444_GRAIN,
}
IN_LAYERS = {"transparent", "premultiplied", "10 bits, transparent"}


@pytest.mark.parametrize("max_side", [0, 150])
@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_it_looks_as_pillow_decodes_it(file: bytes, max_side: int) -> None:
    ours, theirs = opened(file).decode(max_side), by_pillow(file).decode(max_side)
    assert ours.size == theirs.size
    # Of premultiplied colours, either rounds where the other does not.
    assert difference(ours, theirs) < 0.5


@pytest.mark.parametrize("name", FILES)
def test_alpha_that_is_a_picture_of_its_own_is_decoded_after_the_colours(name: str) -> None:
    picture = opened(FILES[name])
    assert bool(picture._layers) is (name in IN_LAYERS)
    apart, charged = picture.decode(0), picture.decoding_bytes(0)
    picture._layers = None
    assert difference(apart, picture.decode(0)) < 0.5
    assert picture.decoding_bytes(0) >= charged


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_pillow_says(orientation: int) -> None:
    file = encoded(turned(orientation), "AVIF", exif=exif(orientation=orientation))
    assert opened(file).orientation == by_pillow(file).orientation == orientation


def test_its_profile_is_found() -> None:
    assert opened(FILES["4:2:0"]).icc is None
    srgb = profile("sRGB")  # It tells the second that it was made in
    assert opened(encoded(scene(), "AVIF", icc_profile=srgb)).icc == srgb


def test_the_layout_is_that_of_the_library() -> None:
    """What the header says that a new decoder is set to."""
    library = load(_avif, PROTOTYPES)
    assert library
    made = library.avifDecoderCreate()
    decoder: AvifDecoder = made.contents
    assert (decoder.codec, decoder.max_threads, decoder.source) == (0, 1, 0)
    limits = (decoder.size_limit, decoder.dimension_limit, decoder.count_limit, decoder.strict)
    assert limits == (SIZE_LIMIT, 32_768, 12 * 3_600 * 60, 7)
    library.avifDecoderDestroy(made)


def test_nothing_is_read_from_beyond_a_file() -> None:
    file = memoryview(FILES["transparent"])
    into = AvifData()
    read = libavif._reader(file, 1000, None)
    assert read(None, 0, 8, 1 << 30, ctypes.pointer(into)) == 0
    assert (into.data, into.size) == (1008, len(file) - 8)
    assert read(None, 0, len(file) + 1, 1, ctypes.pointer(into)) != 0
    assert read(None, 1, 0, 1, ctypes.pointer(into)) != 0


def test_a_damaged_file_is_unreadable() -> None:
    file = FILES["4:2:0"]
    for damaged in (file[:40], file[: len(file) // 2], file.replace(b"av01", b"av99")):
        with pytest.raises(ImageUnreadable):
            examine(memoryview(damaged), ImageLimits()).finish()


def test_a_frame_of_another_size_than_announced_is_unreadable() -> None:
    """Else a few bytes of boxes would let a vast frame in."""
    file = encoded(noise(1300, 1100), "AVIF", speed=10)
    size = (1300).to_bytes(4, "big") + (1100).to_bytes(4, "big")
    announced = (64).to_bytes(4, "big") + (48).to_bytes(4, "big")
    assert size in file
    lying = file.replace(size, announced)
    with pytest.raises(ImageUnreadable):
        examine(memoryview(lying), ImageLimits()).finish()


def test_without_the_library_pillow_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalise, "LIBAVIF", None)
    plan = examine(memoryview(FILES["4:2:0"]), ImageLimits())
    assert isinstance(plan, Raw)
    assert isinstance(plan.picture, PillowPicture)
    assert plan.memory_bytes > 301 * 199 * 14
    assert Image.open(io.BytesIO(sent(plan.finish()))).size == (301, 199)


def test_a_library_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_libavif()
    strange = SimpleNamespace(avifVersion=lambda: b"2.0.0")
    monkeypatch.setattr(libavif, "load", lambda _module, _prototypes: strange)
    assert open_libavif() is None


def test_no_memory_for_a_decoder_is_an_error_and_no_crash() -> None:
    full = SimpleNamespace(avifDecoderCreate=lambda: None)
    with (
        pytest.raises(MemoryError),
        LibAvif(full).parsed(memoryview(b"x")),  # type: ignore[arg-type]  # stands in for it
    ):
        pass


def test_tiles_are_as_the_whole_says_and_not_as_they_say_themselves() -> None:
    """In another range, their grey would be another."""
    file = deep.TEN_BITS_444_GRID
    full, limited = (b"colrnclx" + bytes((0, 1, 0, 13, 0, 6, bits)) for bits in (0x80, 0))
    in_tiles, in_none = b"\4\4\2\x85\3", b"\4\4\2\x85\0"
    assert (file.count(full), file.count(in_tiles)) == (1, 2)
    changed = file.replace(full, limited).replace(in_tiles, in_none)
    ours, theirs = opened(changed).decode(500), by_pillow(changed).decode(500)
    assert difference(ours, theirs) < 0.2
    assert difference(ours, opened(file).decode(500)) > 0.5


def test_grain_that_leaves_no_room_is_refused() -> None:
    """It is laid on a copy."""
    with pytest.raises(ImageTypeUnsupported, match="too much memory"):
        examine(memoryview(deep.TEN_BITS_422_GRAIN), ImageLimits())


def test_a_tile_that_is_missing_makes_it_unreadable() -> None:
    file = deep.TEN_BITS_444_GRID
    for damaged in (file[:-200], file.replace(b"\0\2\0\2\0\3", b"\0\2\0\2\0\4")):
        assert damaged != file
        with pytest.raises(ImageUnreadable):
            examine(memoryview(damaged), ImageLimits()).finish()


def test_too_much_to_read_for_every_tile_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened(deep.TEN_BITS_444_GRID)._tiles
    monkeypatch.setattr(avif, "READ_MAX_BYTES", 2 * 300)
    with pytest.raises(ValueError, match="too much to read"):
        opened(deep.TEN_BITS_444_GRID)


def test_alpha_beside_tiles_is_not_meant_as_they_are() -> None:
    """In the range of these colours, it would be another."""
    picture, plain = opened(deep.TEN_BITS_444_ALPHA), opened(deep.TEN_BITS_444_ALPHA)
    picture._meant = Colours((1, 13, 6), full_range=False)
    picture._tiles = _Tiles([picture._primary], picture.size)
    assert picture._layers
    with (
        picture._in_rgb(picture._layers.alpha) as ours,
        plain._in_rgb(picture._layers.alpha) as own,
    ):
        assert ours.rows(0, 64).tobytes() == own.rows(0, 64).tobytes()
    with picture._colours(picture._layers.colour)() as ours, plain._in_rgb(None) as own:
        assert ours.rows(0, 64).tobytes() != own.rows(0, 64).convert("RGB").tobytes()
