"""The gallery's pictures (`pictures.csv`): names, titles, and how they are drawn.

Each shows a motif, varied by a number, in two colours before a background of two more.
"""

import csv
import io
import random
from dataclasses import dataclass
from importlib import resources
from typing import Final

from PIL import Image, ImageDraw, ImageOps

# Twice the size of the finished picture: scaling down smooths the edges.
WIDTH: Final = 640
HEIGHT: Final = 480

Pen = ImageDraw.ImageDraw


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture. `colours`: two of the background, from top to bottom, and the motif's two."""

    name: str
    title: str
    motif: str
    number: int
    colours: tuple[str, ...]

    def jpeg(self) -> bytes:
        """Draw it: a JPEG file of 320 by 240 pixels, always the same."""
        top, bottom, first, second = self.colours
        gradient = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
        image = ImageOps.colorize(gradient, top, bottom)
        _MOTIFS[self.motif](ImageDraw.Draw(image), self.number, first, second)
        file = io.BytesIO()
        small = image.resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.LANCZOS)
        small.save(file, "JPEG", quality=88)
        return file.getvalue()


def _mountains(pen: Pen, count: int, far: str, near: str) -> None:
    step = WIDTH / count
    roll = random.Random(str(count))  # noqa: S311 - no secrets
    for place in range(count):
        x, top = step * (place + 0.5), roll.randint(70, 180)
        pen.polygon([(x - step, HEIGHT), (x, top), (x + step, HEIGHT)], far)
        side, foot = step * 0.22, top + (HEIGHT - top) * 0.22
        pen.polygon([(x - side, foot), (x, top), (x + side, foot)], "white")
    pen.rectangle((0, 400, WIDTH, HEIGHT), near)


def _city(pen: Pen, seed: int, walls: str, light: str) -> None:
    roll = random.Random(str(seed))  # noqa: S311 - no secrets
    for x in range(0, WIDTH, 70):
        top = HEIGHT - roll.randint(140, 380)
        pen.rectangle((x, top, x + 62, HEIGHT), walls)
        for y in range(top + 16, HEIGHT - 16, 28):
            for left in range(x + 8, x + 60, 19):
                pen.rectangle((left, y, left + 9, y + 14), roll.choice((light, light, walls)))


def _sails(pen: Pen, count: int, sea: str, sail: str) -> None:
    pen.rectangle((0, 330, WIDTH, HEIGHT), sea)
    for place in range(count):
        x, y = WIDTH / count * (place + 0.5), 356 + 28 * (place % 2)
        pen.polygon([(x, y - 220), (x, y), (x + 88, y)], sail)
        pen.polygon([(x - 8, y - 184), (x - 8, y), (x - 64, y)], "white")
        pen.polygon([(x - 80, y + 8), (x + 96, y + 8), (x + 60, y + 40), (x - 52, y + 40)], "brown")


def _lighthouse(pen: Pen, x: int, sea: str, stripe: str) -> None:
    pen.rectangle((0, 360, WIDTH, HEIGHT), sea)
    pen.polygon([(x - 180, 430), (x - 100, 336), (x + 80, 324), (x + 180, 430)], "dimgrey")
    for level in range(6):
        half, top = 52 - level * 4, 292 - level * 40
        pen.rectangle((x - half, top, x + half, top + 40), (stripe, "white")[level % 2])
    pen.polygon([(x - 40, 92), (x, 30), (x + 40, 92)], "black")


def _fruit(pen: Pen, count: int, table: str, skin: str) -> None:
    pen.rectangle((0, 330, WIDTH, HEIGHT), table)
    radius = 300 / (count + 1)
    for place in range(count):
        x, y = WIDTH * (place + 0.5) / count, 380 - radius
        pen.circle((x, y), radius, skin)
        pen.ellipse((x, y - radius - 30, x + 48, y - radius - 6), "green")


def _rings(pen: Pen, step: int, first: str, second: str) -> None:
    for place in range(600 // step, 0, -1):
        pen.circle((step * 4, step * 3), place * step, (first, second)[place % 2])


_MOTIFS: Final = {
    "mountains": _mountains,
    "city": _city,
    "sails": _sails,
    "lighthouse": _lighthouse,
    "fruit": _fruit,
    "rings": _rings,
}

_TABLE: Final = resources.files(__package__).joinpath("pictures.csv").read_text(encoding="utf-8")
PICTURES: Final = tuple(
    Picture(name, title, motif, int(number), tuple(colours))
    for name, title, motif, number, *colours in list(csv.reader(_TABLE.splitlines()))[1:]
)
