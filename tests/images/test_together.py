"""JPEGs in which some components stand together in a scan, and others not."""

import io

import pytest
from PIL import Image

from app.errors import ImageTypeUnsupported, ImageUnreadable
from app.images import normalise, progressive
from app.images.jpeg import walk
from app.images.libtiff import LibTiff
from app.images.limits import ImageLimits
from app.images.normalise import Raw, examine
from app.images.picture import PillowPicture
from app.images.progressive import ProgressivePicture
from app.images.scans import Scans
from app.images.sniff import Kind
from app.images.together import decode_together
from tests.images import joint
from tests.images.files import difference, jpeg, noise, segment

SOF0, SOF9, SOS = 0xC0, 0xC9, 0xDA


def of_inks(file: bytes) -> bytes:
    """The same with a fourth component, which is the first one once more."""
    parts = [b"\xff\xd8"]
    every = Scans((memoryview(file),)).segments
    for one in every[:-1]:
        body = bytes(one.body)
        if one.marker == SOF0:
            body = body[:5] + b"\4" + body[6:] + bytes((9, *body[7:9]))
        if not 0xE0 <= one.marker <= 0xEF:
            parts.append(segment(one.marker, body) + bytes(one.scan))
    first = next(one for one in every if one.marker == SOS)
    said = bytes((1, 9)) + bytes(first.body[2:])
    return b"".join((*parts, segment(SOS, said), bytes(first.scan), b"\xff\xd9"))


def opened(file: bytes, library: LibTiff | None = normalise.LIBTIFF) -> ProgressivePicture:
    structure = walk(memoryview(file))
    return ProgressivePicture(Kind.JPEG, structure.parts, structure, library)


FILES = {"RGB": joint.NOISE, "CMYK": of_inks(joint.NOISE)}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_samples_are_those_of_the_whole(file: bytes) -> None:
    picture = opened(file)
    assert [chosen for chosen, _ in picture._scans.files()][:2] == [[0], [1, 2]]
    ours, theirs = picture.decode(0), PillowPicture.decode(picture, 0)
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    if ours.mode == "CMYK":
        assert ours.tobytes() == theirs.tobytes()
    # Pillow turns colours into RGB in another way than libjpeg.
    assert difference(ours, theirs) < 0.5


@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_scaled_they_are_means_of_them(file: bytes) -> None:
    picture = opened(file)
    assert difference(picture.decode(22), PillowPicture.decode(picture, 0).reduce(2)) < 6


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures have no more room than large ones here."""
    monkeypatch.setattr(progressive, "SMALL_PIXELS", 0)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("file", [joint.ARITHMETIC, joint.UNEVEN], ids=["arithmetic", "uneven"])
def test_what_cannot_be_had_apart_is_made_smaller_where_it_must(file: bytes) -> None:
    picture = opened(file)
    assert not picture._scans.components
    assert picture.decode(0).size == (1024, 1024)
    assert picture.decode(512).size == (512, 512)
    assert picture.decoding_bytes(0) < 8 * 2048 * 2048


def test_small_ones_are_not() -> None:
    file = joint.NOISE.replace(b"\2\x11\1\3\x11\1", b"\2\x12\1\3\x12\1")
    assert file != joint.NOISE
    picture = opened(file)
    assert not picture._scans.components
    assert picture.decode(0).size == (45, 31)


@pytest.mark.usefixtures("_small")
def test_without_libtiff_it_cannot_be_had_apart() -> None:
    assert opened(joint.NOISE, None).decode(0).size == (23, 16)
    with pytest.raises(ImageTypeUnsupported, match="baseline JPEG"):
        opened(of_inks(joint.NOISE), None)


@pytest.mark.usefixtures("_small")
def test_coefficients_that_leave_no_room_at_all_are_refused() -> None:
    file = jpeg(noise(90, 61).convert("CMYK"), progressive=True)
    arithmetic = file.replace(b"\xff\xc2\0\x14", b"\xff\xca\0\x14")
    assert arithmetic != file
    assert isinstance(examine(memoryview(file), ImageLimits()), Raw)
    with pytest.raises(ImageTypeUnsupported, match="baseline JPEG"):
        examine(memoryview(arithmetic), ImageLimits())


LENGTHENED = {
    "tables": joint.NOISE[:2] + segment(0xDB, bytes(65)) * 200 + joint.NOISE[2:],
    "a scan": joint.NOISE[:-2] + bytes(13_000) + joint.NOISE[-2:],
}


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("file", LENGTHENED.values(), ids=LENGTHENED.keys())
def test_what_is_too_long_to_be_copied_is_not(file: bytes) -> None:
    """It may be as long as the body, however small the picture is."""
    assert opened(joint.NOISE)._is_apart
    picture = opened(file)
    assert picture._scans.components
    assert not picture._is_apart
    assert picture.decode(0).size == (23, 16)


def without_end(file: bytes) -> bytes:
    return file[:-2]


def twice(file: bytes) -> bytes:
    at = file.index(b"\xff\xda")
    return file[:at] + file[at:-2] * 2 + file[-2:]


def once_more(file: bytes) -> bytes:
    """Not from the first coefficient on, which decoders do not heed."""
    last = [one for one in Scans((memoryview(file),)).segments if one.marker == SOS][-1]
    said = bytes(last.body[:-3]) + bytes((1, 63, 0))
    return file[:-2] + segment(SOS, said) + bytes(last.scan) + file[-2:]


@pytest.mark.parametrize("damage", [without_end, twice, once_more])
@pytest.mark.parametrize("name", FILES)
def test_what_is_cut_off_or_comes_twice_is_unreadable(name: str, damage: object) -> None:
    assert callable(damage)
    plan = examine(memoryview(damage(FILES[name])), ImageLimits(max_side=30))
    with pytest.raises(ImageUnreadable):
        plan.finish()


@pytest.mark.parametrize(
    ("size", "count"), [((45, 31), 2), ((45, 31), 4), ((44, 31), 3), ((45, 32), 3)]
)
def test_a_jpeg_of_another_form_than_said_is_an_error(size: tuple[int, int], count: int) -> None:
    library, file = normalise.LIBTIFF, memoryview(jpeg(noise(45, 31), subsampling=0))
    assert library
    assert len(decode_together(library, [file], (45, 31), 3, 1)) == 3
    with pytest.raises(ValueError, match="libtiff"):
        decode_together(library, [file], size, count, 1)


def test_four_planes_come_in_their_order() -> None:
    library, image = normalise.LIBTIFF, Image.new("CMYK", (40, 30), (10, 80, 150, 220))
    assert library
    file = jpeg(image, quality=100, subsampling=0)
    planes = decode_together(library, [memoryview(file)], (40, 30), 4, 2)
    stored = Image.open(io.BytesIO(file)).getpixel((0, 0))
    assert isinstance(stored, tuple)
    assert [255 - plane.tobytes()[-1] for plane in planes] == list(stored)
    assert {plane.size for plane in planes} == {(20, 15)}
