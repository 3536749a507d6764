"""What the gallery's pictures show.

A motif draws with Pillow on a background of 640 by 480 pixels. It takes a number that varies it
and two colours.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from PIL import Image, ImageDraw, ImageOps

from simulator.ids import seeded_random

# Twice the size of the finished picture: scaling down smooths the edges.
WIDTH: Final = 640
HEIGHT: Final = 480

Pen = ImageDraw.ImageDraw


def draw(motif: str, number: int, colours: tuple[str, ...]) -> Image.Image:
    """A picture on a background that runs from the first colour down to the second."""
    top, bottom, first, second = colours
    gradient = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    image = ImageOps.colorize(gradient, top, bottom)
    _MOTIFS[motif](ImageDraw.Draw(image), number, first, second)
    return image.resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.LANCZOS)


def _sunset(pen: Pen, x: int, sea: str, sun: str) -> None:
    pen.circle((x, 276), 68, sun)
    pen.rectangle((0, 300, WIDTH, HEIGHT), sea)
    for row in range(9):
        half = 60 - row * 4
        pen.rectangle((x - half, 308 + row * 18, x + half, 314 + row * 18), sun)


def _mountains(pen: Pen, count: int, far: str, near: str) -> None:
    step, roll = WIDTH / count, seeded_random(count)
    for place in range(count):
        x, top = step * (place + 0.5), roll.randint(70, 180)
        pen.polygon([(x - step, HEIGHT), (x, top), (x + step, HEIGHT)], far)
        snow = 0.22 * (HEIGHT - top)
        pen.polygon(
            [(x - step * 0.22, top + snow), (x, top), (x + step * 0.22, top + snow)], "#fff"
        )
    _hills(pen, 400, near)


def _city(pen: Pen, seed: int, walls: str, light: str) -> None:
    roll, x = seeded_random(seed), 0
    while x < WIDTH:
        width, top = roll.randint(48, 92), HEIGHT - roll.randint(140, 380)
        pen.rectangle((x, top, x + width - 6, HEIGHT), walls)
        for y in range(top + 16, HEIGHT - 16, 28):
            for left in range(x + 10, x + width - 20, 20):
                if roll.random() < 0.6:  # noqa: PLR2004 - most windows are lit
                    pen.rectangle((left, y, left + 10, y + 14), light)
        x += width


def _sails(pen: Pen, count: int, sea: str, sail: str) -> None:
    _hills(pen, 330, sea)
    for place in range(count):
        x, y = WIDTH / count * (place + 0.5), 356 + 28 * (place % 2)
        pen.polygon([(x, y - 220), (x, y), (x + 88, y)], sail)
        pen.polygon([(x - 8, y - 184), (x - 8, y), (x - 64, y)], "#fbf7ee")
        pen.polygon(
            [(x - 80, y + 10), (x + 96, y + 10), (x + 60, y + 40), (x - 52, y + 40)], "#532"
        )


def _forest(pen: Pen, count: int, ground: str, needles: str) -> None:
    _hills(pen, 380, ground)
    step = WIDTH / count
    for place in range(count):
        x, foot = step * (place + 0.5), 390 + 24 * (place % 3)
        for tier in range(3):
            half, low = step * (0.62 - 0.13 * tier), foot - 76 * tier
            pen.polygon([(x - half, low), (x, low - 124), (x + half, low)], needles)


def _night(pen: Pen, x: int, ground: str, moon: str) -> None:
    roll = seeded_random(x)
    for _ in range(90):
        pen.circle((roll.uniform(0, WIDTH), roll.uniform(0, 300)), 2.4, "#fdf6d0")
    pen.circle((x, 124), 72, moon)
    _hills(pen, 370, ground)


def _lighthouse(pen: Pen, x: int, sea: str, stripe: str) -> None:
    pen.rectangle((0, 360, WIDTH, HEIGHT), sea)
    pen.polygon([(x - 180, 430), (x - 100, 336), (x + 80, 324), (x + 180, 430)], "#5d5a58")
    for level in range(6):
        half, top = 52 - level * 4, 292 - level * 40
        pen.rectangle((x - half, top, x + half, top + 40), (stripe, "#fafafa")[level % 2])
    pen.polygon([(x - 40, 92), (x, 30), (x + 40, 92)], "#333b45")


def _fruit(pen: Pen, count: int, table: str, skin: str) -> None:
    pen.rectangle((0, 330, WIDTH, HEIGHT), table)
    radius = 300 / (count + 1)
    for place in range(count):
        x, y = WIDTH * (place + 0.5) / count, 380 - radius
        pen.circle((x, y), radius, skin)
        pen.circle((x - radius * 0.35, y - radius * 0.35), radius * 0.22, "#fbe9e0")
        pen.ellipse((x, y - radius - 30, x + 48, y - radius - 6), "#4d8b31")


def _flower(pen: Pen, petals: int, petal: str, heart: str) -> None:
    pen.rectangle((312, 220, 328, HEIGHT), "#2f7a3d")
    for place in range(petals):
        turn = 2 * math.pi * place / petals
        pen.circle((320 + 96 * math.cos(turn), 210 + 96 * math.sin(turn)), 300 / petals + 16, petal)
    pen.circle((320, 210), 54, heart)


def _fish(pen: Pen, stripes: int, body: str, stripe: str) -> None:
    pen.polygon([(180, 240), (60, 150), (84, 240), (60, 330)], body)
    pen.ellipse((150, 128, 510, 352), body)
    for place in range(stripes):
        x = 240 + 160 * place / (stripes - 1)
        pen.ellipse((x - 16, 140, x + 16, 340), stripe)


def _stripes(pen: Pen, width: int, first: str, second: str) -> None:
    for place, x in enumerate(range(-WIDTH, WIDTH, 2 * width)):
        corners = [(x, 0), (x + width, 0), (x + width + 380, HEIGHT), (x + 380, HEIGHT)]
        pen.polygon(corners, (first, second)[place % 2])


def _rings(pen: Pen, step: int, first: str, second: str) -> None:
    for place in range(600 // step, 0, -1):
        pen.circle((step * 4, step * 3), place * step, (first, second)[place % 2])


def _hills(pen: Pen, base: int, colour: str) -> None:
    """Everything below a wavy line around `base`."""
    edge = [(x, base + 20 * math.sin(x / 50)) for x in range(0, WIDTH + 8, 8)]
    pen.polygon([(0, HEIGHT), *edge, (WIDTH, HEIGHT)], colour)


_MOTIFS: Final[Mapping[str, Callable[[Pen, int, str, str], None]]] = {
    "city": _city,
    "fish": _fish,
    "flower": _flower,
    "forest": _forest,
    "fruit": _fruit,
    "lighthouse": _lighthouse,
    "mountains": _mountains,
    "night": _night,
    "rings": _rings,
    "sails": _sails,
    "stripes": _stripes,
    "sunset": _sunset,
}
