"""Things and patterns of the gallery, each in several colours."""

from __future__ import annotations

import math

from simulator.drawing import HEIGHT, WIDTH, Sheet


def fruit(wall: str, table: str, skin: str, shine: str, count: int) -> Sheet:
    """Round fruit on a table."""
    sheet = Sheet(wall, wall)
    sheet.box(0, 165, WIDTH, 75, table)
    radius = 150 / (count + 1)
    for place in range(count):
        x = WIDTH * (place + 0.5) / count
        y = 190 - radius
        sheet.oval(x, 190, radius, radius * 0.2, "#3a2c22")
        sheet.disc(x, y, radius, skin)
        sheet.disc(x - radius * 0.35, y - radius * 0.35, radius * 0.22, shine)
        sheet.line([(x, y - radius), (x + 6, y - radius - 16)], "#5c4326", 3)
        sheet.oval(x + 16, y - radius - 12, 12, 6, "#4d8b31")
    return sheet


def melon(wall: str, flesh: str, rind: str) -> Sheet:
    """A slice with seeds."""
    sheet = Sheet(wall, wall)
    for radius, colour in ((130, rind), (118, "#eef5d8"), (110, flesh)):
        half = [
            (
                160 + radius * math.cos(turn * math.pi / 40),
                70 + radius * math.sin(turn * math.pi / 40),
            )
            for turn in range(41)
        ]
        sheet.shape(half, colour)
    for row, many in ((95, 7), (125, 5), (152, 3)):
        for place in range(many):
            sheet.oval(160 + (place - (many - 1) / 2) * 26, row, 3, 6, "#2b1c17")
    return sheet


def flower(top: str, bottom: str, petal: str, heart: str, count: int) -> Sheet:
    """One big flower on its stalk."""
    sheet = Sheet(top, bottom)
    sheet.line([(160, 110), (156, 240)], "#2f7a3d", 7)
    sheet.oval(190, 195, 30, 11, "#3d9150")
    for place in range(count):
        turn = 2 * math.pi * place / count
        sheet.disc(160 + 48 * math.cos(turn), 105 + 48 * math.sin(turn), 150 / count + 8, petal)
    sheet.disc(160, 105, 27, heart)
    return sheet


def cup(wall: str, table: str, china: str, drink: str) -> Sheet:
    """A cup from the side, steaming."""
    sheet = Sheet(wall, wall)
    sheet.box(0, 180, WIDTH, 60, table)
    sheet.oval(228, 130, 30, 28, china)
    sheet.oval(228, 130, 17, 16, wall)
    sheet.shape([(92, 92), (228, 92), (206, 190), (114, 190)], china)
    sheet.oval(160, 92, 68, 15, china)
    sheet.oval(160, 92, 60, 11, drink)
    for x in (130, 160, 190):
        sheet.line([(x, 70), (x + 8, 55), (x - 6, 38), (x + 3, 22)], "#f4f1ec", 4)
    return sheet


def fish(top: str, bottom: str, body: str, stripe: str) -> Sheet:
    """A striped fish among bubbles."""
    sheet = Sheet(top, bottom)
    sheet.shape([(90, 120), (30, 75), (42, 120), (30, 165)], body)
    sheet.oval(165, 120, 90, 56, body)
    for x in (120, 160, 200):
        sheet.oval(x, 120, 9, 50, stripe)
    sheet.disc(228, 106, 9, "#ffffff")
    sheet.disc(230, 106, 4, "#10151c")
    for place in range(5):
        sheet.disc(262 + 7 * (place % 3), 92 - 19 * place, 4 + place, "#d9f1fb")
    return sheet


def house(top: str, bottom: str, wall: str, roof: str) -> Sheet:
    """A small house on a lawn."""
    sheet = Sheet(top, bottom)
    sheet.box(0, 195, WIDTH, 45, "#5f9e4a")
    sheet.box(95, 110, 130, 95, wall)
    sheet.shape([(78, 112), (160, 45), (242, 112)], roof)
    sheet.box(146, 150, 30, 55, "#5b3b26")
    for x in (108, 186):
        sheet.box(x, 130, 27, 27, "#fff2b0")
        sheet.box(x + 12, 130, 3, 27, "#5b3b26")
    return sheet


def stripes(colours: tuple[str, ...], slope: float, width: int) -> Sheet:
    """Slanted stripes."""
    sheet = Sheet(colours[0], colours[0])
    drift = slope * HEIGHT
    for place, x in enumerate(range(-400, 800, width)):
        points = [(x, 0.0), (x + width, 0.0), (x + width + drift, 240.0), (x + drift, 240.0)]
        sheet.shape(points, colours[place % len(colours)])
    return sheet


def checks(first: str, second: str, size: int) -> Sheet:
    """A chequerboard."""
    sheet = Sheet(first, first)
    for row in range(HEIGHT // size + 1):
        for column in range(WIDTH // size + 1):
            if (row + column) % 2:
                sheet.box(column * size, row * size, size - 0.5, size - 0.5, second)
    return sheet


def rings(colours: tuple[str, ...], x: float, y: float, step: int) -> Sheet:
    """Rings around one point."""
    sheet = Sheet(colours[0], colours[0])
    for place in range(400 // step, 0, -1):
        sheet.disc(x, y, place * step, colours[place % len(colours)])
    return sheet


def dots(ground: str, colours: tuple[str, ...], step: int, radius: float) -> Sheet:
    """Dots in rows, every other row shifted."""
    sheet = Sheet(ground, ground)
    for row in range(HEIGHT // step + 2):
        for column in range(WIDTH // step + 2):
            x = column * step + (step / 2 if row % 2 else 0)
            sheet.disc(x, row * step, radius, colours[(row + column) % len(colours)])
    return sheet
