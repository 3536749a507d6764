"""Outdoor scenes of the gallery, each in several colours."""

from __future__ import annotations

from simulator.drawing import HEIGHT, WIDTH, Sheet
from simulator.ids import chance


def sunset(top: str, bottom: str, sea: str, sun: str, x: float) -> Sheet:
    """A low sun and its path on the water."""
    sheet = Sheet(top, bottom)
    sheet.disc(x, 138, 34, sun)
    sheet.box(0, 150, WIDTH, 90, sea)
    for row in range(9):
        half = 30 - row * 2
        sheet.box(x - half, 154 + row * 9, half * 2, 3, sun)
    return sheet


def mountains(top: str, bottom: str, far: str, near: str, heights: tuple[int, ...]) -> Sheet:
    """Snowy peaks behind dark foothills."""
    sheet = Sheet(top, bottom)
    sheet.peaks(heights, far, snow="#f6f8fb")
    sheet.hills(200, 12, 2.5, len(heights), near)
    return sheet


def city(top: str, bottom: str, walls: str, light: str, seed: int) -> Sheet:
    """A skyline with windows."""
    sheet = Sheet(top, bottom)
    dice = chance(seed)
    x = 0
    while x < WIDTH:
        width, height = dice.randint(24, 46), dice.randint(70, 190)
        sheet.box(x, HEIGHT - height, width - 3, height, walls)
        for row in range(HEIGHT - height + 8, HEIGHT - 8, 14):
            for column in range(x + 5, x + width - 10, 10):
                if dice.random() < 0.6:  # noqa: PLR2004 - most windows are lit
                    sheet.box(column, row, 5, 7, light)
        x += width
    return sheet


def sails(top: str, bottom: str, sea: str, colours: tuple[str, ...]) -> Sheet:
    """Boats on small waves."""
    sheet = Sheet(top, bottom)
    sheet.hills(165, 4, 5, 0, sea)
    step = WIDTH / len(colours)
    for place, colour in enumerate(colours):
        x, foot = step * (place + 0.5), 178 + 14 * (place % 2)
        sheet.shape([(x, foot - 110), (x, foot), (x + 44, foot)], colour)
        sheet.shape([(x - 4, foot - 92), (x - 4, foot), (x - 32, foot)], "#fbf7ee")
        sheet.shape(
            [(x - 40, foot + 5), (x + 48, foot + 5), (x + 34, foot + 20), (x - 28, foot + 20)],
            "#5a3a28",
        )
    return sheet


def forest(top: str, bottom: str, ground: str, needles: str, count: int) -> Sheet:
    """Firs in a row."""
    sheet = Sheet(top, bottom)
    sheet.hills(190, 8, 1.5, 1, ground)
    step = WIDTH / count
    for place in range(count):
        x, foot = step * (place + 0.5), 205 + 12 * (place % 3)
        sheet.box(x - 4, foot - 12, 8, 20, "#5b4030")
        for floor in range(3):
            half = step * (0.62 - 0.13 * floor)
            low = foot - 10 - 38 * floor
            sheet.shape([(x - half, low), (x, low - 62), (x + half, low)], needles)
    return sheet


def dunes(top: str, bottom: str, sands: tuple[str, ...], sun: str) -> Sheet:
    """Sand in waves under a high sun."""
    sheet = Sheet(top, bottom)
    sheet.disc(250, 50, 22, sun)
    for place, sand in enumerate(sands):
        sheet.hills(125 + 36 * place, 22 - 4 * place, 1.2 + 0.3 * place, place * 2.1, sand)
    return sheet


def night(top: str, bottom: str, ground: str, moon: str, x: float) -> Sheet:
    """A crescent over dark hills."""
    sheet = Sheet(top, bottom)
    sheet.stars(90, 150, "#fdf6d0")
    sheet.disc(x, 62, 36, moon)
    sheet.disc(x + 15, 54, 31, top)
    sheet.hills(185, 16, 1.8, 0.5, ground)
    return sheet


def field(top: str, bottom: str, rows: tuple[str, ...]) -> Sheet:
    """Rows of flowers that run to the horizon."""
    sheet = Sheet(top, bottom)
    sheet.box(0, 110, WIDTH, 130, "#3f7d3a")
    count = 12
    for place in range(count):
        left, right = (place / count - 0.5) * 3.2, ((place + 0.72) / count - 0.5) * 3.2
        points = [(160 + 60 * left, 112.0), (160 + 60 * right, 112.0)]
        points += [(160 + 330 * right, 240.0), (160 + 330 * left, 240.0)]
        sheet.shape(points, rows[place % len(rows)])
    return sheet


def lighthouse(top: str, bottom: str, sea: str, stripe: str) -> Sheet:
    """A striped tower on a rock."""
    sheet = Sheet(top, bottom)
    sheet.box(0, 180, WIDTH, 60, sea)
    sheet.shape([(60, 215), (100, 168), (190, 162), (240, 215)], "#5d5a58")
    for floor in range(6):
        half = 26 - floor * 2.2
        sheet.box(150 - half, 146 - floor * 20, half * 2, 20, stripe if floor % 2 else "#fafafa")
    sheet.box(138, 26, 24, 20, "#ffd95e")
    sheet.shape([(132, 26), (150, 8), (168, 26)], "#333b45")
    return sheet


def balloons(top: str, bottom: str, colours: tuple[str, ...]) -> Sheet:
    """Hot-air balloons over a low ridge."""
    sheet = Sheet(top, bottom)
    sheet.hills(215, 8, 2, 0, "#6d8f5a")
    for place, colour in enumerate(colours):
        x, y = 52 + place * 105, 72 + 38 * (place % 2)
        sheet.oval(x, y, 40, 46, colour)
        sheet.oval(x, y, 15, 46, "#fff3da")
        sheet.line([(x - 22, y + 38), (x - 8, y + 68)], "#4a3b30", 1)
        sheet.line([(x + 22, y + 38), (x + 8, y + 68)], "#4a3b30", 1)
        sheet.box(x - 9, y + 66, 18, 14, "#8b5a2b")
    return sheet
