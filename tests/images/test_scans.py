"""JPEGs of several scans taken apart: each sample is what libjpeg makes of the whole."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from app.images import normalise
from app.images.dc_scan import Blocks, Groups, first_scan, huffman_table, later_scan
from app.images.jpeg import walk
from app.images.limits import ImageLimits
from app.images.normalise import examine
from app.images.picture import PillowPicture
from app.images.progressive import ProgressivePicture
from app.images.scans import Scans
from app.images.sniff import Kind
from tests.images.files import difference, jpeg, noise, scene, segment, sent

APP0, APP14, DHT, SOF0, SOF2, SOF10, SOS, EOI = 0xE0, 0xEE, 0xC4, 0xC0, 0xC2, 0xCA, 0xDA, 0xD9


def inks(width: int = 301, height: int = 199) -> Image.Image:
    edges = scene(width, height).split()
    return Image.merge("CMYK", [*edges, noise(width, height).getchannel(0)])


def soft(width: int, height: int) -> Image.Image:
    """Colours without edges: these are made smaller and larger again in more than one way."""
    return noise(8, 6).resize((width, height), Image.Resampling.BICUBIC)


def progressive(image: Image.Image, **options: Any) -> bytes:
    return jpeg(image, progressive=True, **options)


def opened(file: bytes) -> ProgressivePicture:
    structure = walk(memoryview(file))
    return ProgressivePicture(Kind.JPEG, structure.parts, structure, normalise.LIBTIFF)


def scans(file: bytes) -> Scans:
    return Scans((memoryview(file),))


def together(planes: Sequence[Image.Image], adobe: int | None = None, **options: Any) -> bytes:
    """A JPEG whose components come one after the other, each in scans of its own."""
    parts = [b"\xff\xd8"]
    if adobe is not None:
        parts.append(segment(APP14, b"Adobe\0\x64\0\0\0\0" + bytes((adobe,))))
    for number, plane in enumerate(planes, 1):
        for one in scans(jpeg(plane, **options)).segments:
            if one.marker in (SOF0, SOF2):
                every = b"".join(bytes((each, 0x11, 0)) for each in range(1, len(planes) + 1))
                frame = segment(one.marker, bytes(one.body[:5]) + bytes((len(planes),)) + every)
                parts.append(frame if number == 1 else b"")
            elif one.marker == SOS:
                said = bytes((1, number)) + bytes(one.body[2:])
                parts.append(segment(SOS, said) + bytes(one.scan))
            elif one.marker not in (APP0, EOI):
                parts.append(bytes(one.stored))
    return b"".join((*parts, b"\xff\xd9"))


YCC = noise(90, 61).convert("YCbCr").split()
EXACT = {
    "RGB": progressive(noise(301, 199), keep_rgb=True),
    "CMYK": progressive(inks()),
    "CMYK of edges": progressive(scene(301, 199).convert("CMYK"), quality=100),
    "CMYK with restarts": progressive(inks(), restart_marker_blocks=7),
    "CMYK with restarts by rows": progressive(inks(), restart_marker_rows=2),
    "CMYK with tables of its own": progressive(inks(), optimize=True),
    "CMYK of one block": progressive(inks(8, 8)),
    "CMYK of less": progressive(inks(11, 13)),
    "CMYK, one after the other": together(inks().split()),
    "CMYK, progressive, one after the other": together(inks().split(), progressive=True),
    "Adobe's RGB, one after the other": together(noise(90, 61).split(), adobe=0),
    "Adobe's CMYK, one after the other": together(inks(90, 61).split(), adobe=0),
}
NEARLY = {
    "4:4:4": progressive(noise(301, 199)),
    "4:2:2": progressive(soft(301, 199), subsampling=1),
    "4:2:0": progressive(soft(301, 199), subsampling=2),
    "4:2:0 with restarts": progressive(soft(299, 203), subsampling=2, restart_marker_blocks=3),
    "CMYK, some of it 4:2:0": progressive(soft(301, 199).convert("CMYK"), subsampling=2),
    "YCbCr, one after the other": together(YCC),
    "Adobe's YCbCr, one after the other": together(YCC, adobe=1),
    "Adobe's YCCK, one after the other": together((*YCC, YCC[0]), adobe=2),
}


@pytest.mark.parametrize("max_side", [0, 150, 60])
@pytest.mark.parametrize("file", EXACT.values(), ids=EXACT.keys())
def test_samples_are_those_of_the_whole(file: bytes, max_side: int) -> None:
    picture = opened(file)
    assert picture._scans.components
    ours, theirs = picture.decode(max_side), PillowPicture.decode(picture, max_side)
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("max_side", [0, 150])
@pytest.mark.parametrize("file", NEARLY.values(), ids=NEARLY.keys())
def test_colours_are_nearly_those_of_the_whole(file: bytes, max_side: int) -> None:
    picture = opened(file)
    assert picture._scans.components
    ours, theirs = picture.decode(max_side), PillowPicture.decode(picture, max_side)
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    # Colours that were halved are made whole again in another way, which encoding undoes.
    assert difference(ours.convert("RGB").reduce(2), theirs.convert("RGB").reduce(2)) < 1.5


def test_coefficients_are_counted_wherever_a_decoder_keeps_them() -> None:
    """Also where no scan refines another, but components follow one another."""
    kept = {
        "baseline": jpeg(noise(90, 61)),
        "in scans": together(YCC),
        "progressive": progressive(noise(90, 61)),
        "arithmetic": progressive(noise(90, 61)).replace(b"\xff\xc2\0\x11", b"\xff\xca\0\x11"),
    }
    counted = {name: walk(memoryview(file)).coefficients_bytes for name, file in kept.items()}
    assert counted == {
        "baseline": 0,
        "in scans": 6 * 90 * 61,
        "progressive": 6 * 90 * 61,
        "arithmetic": 6 * 90 * 61,
    }


def of_means(count: int = 2, *, last: int = 0, bits: int = 0) -> bytes:
    body = bytes((count,)) + b"".join(bytes((67 + 10 * at, 0)) for at in range(count))
    return segment(SOS, body + bytes((0, last, bits)))


WHOLE = progressive(inks(90, 61))
INSEPARABLE = {
    "two thirds of the width": WHOLE.replace(b"\x43\x11\0\x4d\x11", b"\x43\x31\0\x4d\x21"),
    "of arithmetic codes": WHOLE.replace(b"\xff\xc2\0\x14", b"\xff\xca\0\x14"),
    "more than means of two components": WHOLE[:-2] + of_means(last=5) + WHOLE[-2:],
    "a scan of none": WHOLE[:-2] + of_means(0) + WHOLE[-2:],
    "a scan that is cut off": WHOLE[:-2] + segment(SOS, b"\2\1\0\2") + WHOLE[-2:],
    "a scan of nothing": WHOLE[:-2] + segment(SOS, b"") + WHOLE[-2:],
}


@pytest.mark.parametrize("file", INSEPARABLE.values(), ids=INSEPARABLE.keys())
def test_others_are_left_to_libjpeg(file: bytes) -> None:
    assert not scans(file).components


def test_what_cannot_be_taken_apart_is_charged_as_a_whole() -> None:
    picture = opened(WHOLE)
    inseparable = opened(INSEPARABLE["a scan of none"])
    whole = PillowPicture.decoding_bytes(picture, 0)
    assert picture.decoding_bytes(0) < whole == inseparable.decoding_bytes(0)
    picture._is_apart = False
    assert picture.decode(0).tobytes() == PillowPicture.decode(picture, 0).tobytes()


def tables_gone(file: bytes) -> bytes:
    kept = [one for one in scans(file).segments if one.marker != DHT]
    return b"\xff\xd8" + b"".join(bytes(one.stored) + bytes(one.scan) for one in kept)


BROKEN = {
    "without an end": (WHOLE[:-2], "no end"),
    "without tables": (tables_gone(WHOLE), "table"),
    "means that come twice": (WHOLE[:-2] + of_means() + WHOLE[-2:], "twice"),
    "a component that is none": (WHOLE[:-2] + of_means(3, bits=0x10) + WHOLE[-2:], "not in list"),
}


@pytest.mark.parametrize(("file", "saying"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_an_error(file: bytes, saying: str) -> None:
    with pytest.raises(ValueError, match=saying):
        scans(file).files()


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_damaged_scan_is_read_as_far_as_it_goes(tenth: int) -> None:
    """As libjpeg does; what is cut off has no end, and is refused for that."""
    means = max(scans(WHOLE).segments[:6], key=lambda one: len(one.scan)).scan
    cut = bytes(means)[: len(means) * tenth // 10]
    picture = opened(WHOLE.replace(bytes(means), cut))
    ours, theirs = picture.decode(0), PillowPicture.decode(picture, 0)
    assert difference(ours.convert("RGB"), theirs.convert("RGB")) < 12 + 6 * (10 - tenth)


def test_it_arrives() -> None:
    image = scene(301, 199)
    file = progressive(image.convert("CMYK"))
    arrived = Image.open(io.BytesIO(sent(examine(memoryview(file), ImageLimits()).finish())))
    assert difference(arrived, Image.open(io.BytesIO(file)).convert("RGB")) < 3


FOUR = [Blocks(2, 2, (3, 3), 0), Blocks(1, 1, (2, 2), 0)]
"""Three blocks by three in groups of two by two, and one beside them."""


def test_blocks_are_put_in_the_order_of_their_rows() -> None:
    groups = Groups(2, 2, 0)
    bits = "1011 0" + "0110 1" + "1101 1" + "0010 0"
    data = int(bits.replace(" ", "") + "1111", 2).to_bytes(3, "big")
    large, small = later_scan(memoryview(data), FOUR, groups)
    assert f"{int.from_bytes(large, 'big'):016b}" == "100" + "111" + "110" + "1" * 7
    assert f"{int.from_bytes(small, 'big'):08b}" == "0110" + "1111"


def test_a_mean_out_of_range_is_an_error() -> None:
    """Differences add up, and what is written has a place for those of whole pictures only."""
    table = bytes(huffman_table(0))[5:]
    one = [Blocks(2, 1, (1, 4), 0)]
    up = "1011" + "1" * 11
    bits = up * 8
    data = int(bits, 2).to_bytes(15, "big").replace(b"\xff", b"\xff\0")
    with pytest.raises(ValueError, match="out of range"):
        list(first_scan(memoryview(data), one, Groups(1, 4, 0), {0: table}))


def test_codes_of_samples_of_more_bits_are_none() -> None:
    table = bytes((1, *bytes(15), 12))
    with pytest.raises(ValueError, match="table"):
        list(first_scan(memoryview(b"\0" * 9), FOUR, Groups(1, 1, 0), {0: table}))


def test_restarts_divide_the_groups() -> None:
    assert list(Groups(3, 3, 4).runs()) == [4, 4, 1]
    assert list(Groups(3, 3, 0).runs()) == [9]


def repeated(count: int, what: bytes) -> bytes:
    return WHOLE[:-2] + what * count + WHOLE[-2:]


UNUSUAL = {
    "many refinements": repeated(5, of_means(bits=0x10)),
    "a component twice in a scan": WHOLE[:-2]
    + segment(SOS, bytes((2, 67, 0, 67, 0, 0, 0, 0x10)))
    + WHOLE[-2:],
    "vast sampling factors": WHOLE.replace(b"\x43\x11\0", b"\x43\x55\0"),
    "more blocks in a group than there may be": WHOLE.replace(
        b"\x43\x11\0\x4d\x11\0", b"\x43\x22\0\x4d\x42\0"
    ),
    "a restart behind every block": progressive(inks(2600, 2600), restart_marker_blocks=1),
}


@pytest.mark.parametrize("file", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_what_only_takes_time_is_left_to_libjpeg(file: bytes) -> None:
    assert not scans(file).components


def test_codes_that_mean_the_same_are_an_error() -> None:
    table = bytes((0,) * 7 + (200,) + (0,) * 8) + bytes(200)
    with pytest.raises(ValueError, match="mean the same"):
        list(first_scan(memoryview(b"\0" * 9), FOUR, Groups(1, 1, 0), {0: table}))


def test_a_code_that_is_none_ends_a_scan() -> None:
    """It is not searched for another one behind it, which took a second for each 30 kB."""
    table = bytes(huffman_table(0))[5:]
    one = [Blocks(1, 1, (2, 2), 0)]
    data = memoryview(b"\xfe\0\0\0")  # Twelve codes of four bits end with 1011
    (scan,) = first_scan(data, one, Groups(2, 2, 0), {0: table})
    assert scan == b"\0\0"
