"""The picture that the demo uploads: one of the gallery's, made smaller and recompressed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

from PIL import Image

from simulator import gallery

NAME: Final = "red-lighthouse"
SCALE: Final = 0.6
# Low enough that no byte of the gallery's own file survives.
QUALITY: Final = 55


@dataclass(frozen=True, slots=True)
class Sample:
    """A JPEG file and what to say about it; sides in pixels."""

    name: str
    jpeg: bytes
    width: int
    height: int


def sample(name: str = NAME) -> Sample:
    """Draw the gallery's picture of this name, shrink and recompress it.

    Raises:
        KeyError: The gallery has no such picture.
    """
    with Image.open(io.BytesIO(gallery.jpeg(name))) as drawn:
        small = drawn.resize((round(drawn.width * SCALE), round(drawn.height * SCALE)))
    packed = io.BytesIO()
    small.save(packed, format="JPEG", quality=QUALITY)
    return Sample(name=name, jpeg=packed.getvalue(), width=small.width, height=small.height)
