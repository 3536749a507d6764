"""A file without its alpha, and one that is nothing but alpha: told by a few bytes of its boxes."""

import struct

import pytest

from app.images.avif_items import Patch, find_layers
from tests.images.test_boxes import box

URN = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
AUXILIARY = struct.pack(">IIHBB", 0, 1, 7, 1, 1)
"""Item 7 has the first property."""


def full(kind: bytes, *inside: bytes, version: int = 0) -> bytes:
    return box(kind, bytes((version, 0, 0, 0)), *inside)


def reference(kind: bytes, source: int, *targets: int, code: str = "H") -> bytes:
    return box(kind, struct.pack(f">{code}H{len(targets)}{code}", source, len(targets), *targets))


def avif(
    *references: bytes, version: int = 0, urn: bytes = URN, primary: bytes | None = None
) -> memoryview:
    iprp = box(b"iprp", box(b"ipco", full(b"auxC", urn)), box(b"ipma", AUXILIARY))
    pitm = full(b"pitm", b"\0\1") if primary is None else primary
    meta = full(b"meta", pitm, full(b"iref", *references, version=version), iprp)
    return memoryview(box(b"ftyp", b"avif") + meta + box(b"mdat", b"samples"))


ALPHA = reference(b"auxl", 7, 1)
THUMBNAIL = reference(b"thmb", 7, 1)


def test_alpha_is_left_out_for_the_colours_and_alone_for_itself() -> None:
    file = avif(THUMBNAIL, ALPHA)
    layers = find_layers(file)
    assert layers
    colour, alpha = (layer.over(file, 0, len(file)) for layer in (layers.colour, layers.alpha))
    assert colour == bytes(file).replace(b"auxl", b"skip")
    primary = full(b"pitm", b"\0\1")
    assert alpha == colour.replace(primary, full(b"pitm", b"\0\7"))


def test_wide_numbers_are_read_too() -> None:
    wide = full(b"pitm", b"\0\0\0\1", version=1)
    file = avif(reference(b"auxl", 7, 1, code="I"), version=1, primary=wide)
    layers = find_layers(file)
    assert layers
    assert full(b"pitm", b"\0\0\0\7", version=1) in layers.alpha.data


@pytest.mark.parametrize(
    "file",
    [
        avif(),
        avif(THUMBNAIL),
        avif(reference(b"auxl", 7, 2)),
        avif(reference(b"auxl", 7, 1, 2)),
        avif(reference(b"auxl", 8, 1)),
        avif(ALPHA, urn=b"urn:com:apple:photo:2020:aux:hdrgainmap\0"),
        avif(ALPHA, primary=b""),
        memoryview(b""),
        memoryview(box(b"meta", bytes(4), full(b"pitm", b"\0\1"))),
    ],
)
def test_a_file_that_has_no_such_alpha_is_read_at_once(file: memoryview) -> None:
    assert find_layers(file) is None


def test_references_and_boxes_that_only_take_time_are_not_read() -> None:
    assert find_layers(avif(*[THUMBNAIL] * 100, ALPHA))
    assert find_layers(avif(*[reference(b"auxl", 8, 1)] * 16, ALPHA)) is None
    assert find_layers(avif(ALPHA, box(b"free", bytes(1 << 20)))) is None
    assert find_layers(memoryview(bytes(avif(ALPHA)) + box(b"moov"))) is None


def test_a_patch_shows_wherever_it_is_read() -> None:
    file, patch = memoryview(b"0123456789"), Patch(3, b"abc")
    for start in range(11):
        for end in range(start, 11):
            assert patch.over(file, start, end) == b"012abc6789"[start:end]
