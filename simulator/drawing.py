"""A sheet to draw a picture on, in units of the finished picture. What is drawn: see `scenes`."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from simulator.ids import chance

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH: Final = 320
HEIGHT: Final = 240
# Drawn larger and scaled down, which smooths the edges.
_SCALE: Final = 2
_QUALITY: Final = 88

Point = tuple[float, float]


class Sheet:
    """A picture in the making; its ground runs from one colour at the top to another below."""

    def __init__(self, top: str, bottom: str) -> None:
        height = HEIGHT * _SCALE
        first, last = (np.array(ImageColor.getrgb(each)[:3], float) for each in (top, bottom))
        share = np.linspace(0.0, 1.0, height)[:, None]
        column = (first * (1 - share) + last * share).astype(np.uint8)
        ground = np.repeat(column[:, None, :], WIDTH * _SCALE, axis=1)
        self._image = Image.fromarray(ground)
        self._pen = ImageDraw.Draw(self._image)

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        """A filled circle."""
        self.oval(x, y, radius, radius, colour)

    def oval(self, x: float, y: float, across: float, down: float, colour: str) -> None:
        """A filled ellipse around (x, y) with its two radii."""
        corners = [x - across, y - down, x + across, y + down]
        self._pen.ellipse([each * _SCALE for each in corners], fill=colour)

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle from its upper left corner."""
        corners = [x, y, x + width, y + height]
        self._pen.rectangle([each * _SCALE for each in corners], fill=colour)

    def shape(self, points: Sequence[Point], colour: str) -> None:
        """A filled polygon."""
        self._pen.polygon([(x * _SCALE, y * _SCALE) for x, y in points], fill=colour)

    def line(self, points: Sequence[Point], colour: str, width: float = 2) -> None:
        """A line through the points."""
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._pen.line(scaled, fill=colour, width=int(width * _SCALE), joint="curve")

    def hills(self, base: float, swing: float, waves: float, shift: float, colour: str) -> None:
        """Everything below a wavy line around `base`."""
        edge = [
            (x, base + swing * math.sin(waves * 2 * math.pi * x / WIDTH + shift))
            for x in range(0, WIDTH + 5, 4)
        ]
        self.shape([(0, HEIGHT), *edge, (WIDTH, HEIGHT)], colour)

    def peaks(self, heights: Sequence[float], colour: str, snow: str | None = None) -> None:
        """Peaks side by side with their tops at these heights, some with snow."""
        step = WIDTH / len(heights)
        for place, top in enumerate(heights):
            middle = step * (place + 0.5)
            self.shape([(middle - step, HEIGHT), (middle, top), (middle + step, HEIGHT)], colour)
            if snow:
                share = 0.22
                drop, spread = (HEIGHT - top) * share, step * share
                cap = [(middle - spread, top + drop), (middle, top), (middle + spread, top + drop)]
                self.shape([*cap, (middle, top + drop * 0.7)], snow)

    def stars(self, count: int, lowest: float, colour: str) -> None:
        """Small dots in the upper part, always at the same places for the same count."""
        dice = chance(count)
        for _ in range(count):
            self.disc(dice.uniform(0, WIDTH), dice.uniform(0, lowest), 1.2, colour)

    def jpeg(self) -> bytes:
        """The finished picture, 320 by 240 pixels."""
        done = self._image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        target = io.BytesIO()
        done.save(target, "JPEG", quality=_QUALITY)
        return target.getvalue()
