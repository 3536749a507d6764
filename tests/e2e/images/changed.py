"""Files whose verdict changed when the libraries came to decide, each with the reason."""

import zlib

from tests.e2e.images.files import (
    Case,
    Goes,
    Refused,
    encoded,
    grey,
    heic_with_parameters_inside,
    jpeg,
    scene,
    with_chunk,
)
from tests.e2e.images.hostile import many_scans


def broken_scan() -> bytes:
    """Half of the scan, a marker that does not belong there, and the other half."""
    file = jpeg(scene(200, 150))
    middle = (file.index(b"\xff\xda") + len(file)) // 2
    return file[:middle] + b"\xff\xe5\0\x04ab" + file[middle:]


CASES = [
    # Samples without a scale: what is black, and what white, would be guessed.
    Case("tiff floats", lambda: encoded(grey().convert("F"), "TIFF"), Refused("image_unreadable")),
    Case(
        "tiff 32-bit integers",
        lambda: encoded(grey().convert("I"), "TIFF"),
        Refused("image_unreadable"),
    ),
    Case(  # It was refused as damaged.
        "heic with parameter sets inside the item, as Sony's",
        heic_with_parameters_inside,
        Goes(tolerance=10),
    ),
    # A decoder fills in what is missing, and it was sent like that.
    Case("jpeg whose scan ends at a stray marker", broken_scan, Refused("image_unreadable")),
    # Nothing in these is damaged.
    Case("jpeg of many scans", lambda: many_scans(65), Refused("image_too_complex", "64 scans")),
    Case(
        "jpeg of many segments",
        lambda: jpeg()[:2] + b"\xff\xfe\0\2" * 70_000 + jpeg()[2:],
        Refused("image_too_complex", "65536 segments"),
    ),
    Case(  # Pillow bounds what it inflates.
        "png with a profile bomb",
        lambda: with_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(5_000_000))),
        Refused("image_unreadable"),
    ),
]
