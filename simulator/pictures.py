"""The gallery's pictures (`pictures.csv`): names, titles, and what is drawn in which colours."""

import csv
import io
from dataclasses import dataclass
from importlib import resources
from typing import Final

from simulator.drawing import draw


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: the name in its URL, its title, and how it is drawn.

    Attributes:
        colours: of the background from top to bottom, and two more.
    """

    name: str
    title: str
    motif: str
    number: int
    colours: tuple[str, ...]

    def jpeg(self) -> bytes:
        """Draw it: a JPEG file of 320 by 240 pixels, always the same."""
        file = io.BytesIO()
        draw(self.motif, self.number, self.colours).save(file, "JPEG", quality=88)
        return file.getvalue()


_TABLE: Final = resources.files(__package__).joinpath("pictures.csv").read_text(encoding="utf-8")
PICTURES: Final = tuple(
    Picture(name, title, motif, int(number), tuple(colours))
    for name, title, motif, number, *colours in list(csv.reader(_TABLE.splitlines()))[1:]
)
