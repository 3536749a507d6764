"""The walk along a PNG's chunks (W3C PNG, third edition §5), each with its checksum."""

import zlib

from app.errors import ImageUnreadable
from app.images.structure import PARTS_MAX, SAMPLE_BITS, Parts, Structure, read_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PICTURE = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
RENDERING = frozenset((b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"bKGD", b"pHYs", b"cICP"))
"""Say how to show the samples, nothing of who took them."""

RENDERING_MAX_BYTES = 32
"""The longest of them, cHRM. More is no such chunk but a hiding place."""

ICC_MAX_BYTES = 1 << 20
"""Profiles of cameras and screens have 0.5 to 600 kB; a compressed one could be a bomb."""


def walk(data: memoryview) -> Structure | None:
    """The structure of a whole PNG, or `None` where only a decoder can tell what it is worth.

    Raises:
        ImageUnreadable: It consists of more chunks than any encoder makes.
    """
    if bytes(data[:16]) != SIGNATURE + b"\0\0\0\x0dIHDR":
        return None
    parts = Parts(data)
    parts.keep(0, len(SIGNATURE))
    exif = icc = None
    seen: set[bytes] = set()
    at = len(SIGNATURE)
    for _ in range(PARTS_MAX):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind, body = bytes(data[at + 4 : at + 8]), data[at + 8 : end - 4]
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]) != _number(data[end - 4 : end]):
            return None
        if kind in PICTURE or (kind in RENDERING and len(body) <= RENDERING_MAX_BYTES):
            parts.keep(at, end)
        elif kind == b"eXIf":
            exif = bytes(body)
        elif kind == b"iCCP":
            icc = _profile(body)
        elif not kind[0] & 0x20:
            return None  # A critical chunk of an unknown kind (§5.4)
        seen.add(kind)
        if kind == b"IEND":
            break
        at = end
    else:
        raise ImageUnreadable(f"This PNG consists of more than {PARTS_MAX} chunks.")
    if b"IDAT" not in seen:
        return None
    return Structure(
        size=(_number(data[16:20]), _number(data[20:24])),
        parts=parts.views(),
        sound=data[24] <= SAMPLE_BITS,
        orientation=read_orientation(exif),
        icc=icc,
    )


def _number(four_bytes: memoryview) -> int:
    return int.from_bytes(four_bytes, "big")


def _profile(body: memoryview) -> bytes | None:
    """The ICC profile inside an iCCP chunk (§11.3.2.3): name, zero, method, deflated profile."""
    packed = bytes(body).partition(b"\0")[2][1:]
    try:
        return zlib.decompressobj().decompress(packed, ICC_MAX_BYTES) or None
    except zlib.error:
        return None
