"""The plot for the README: two rows of bars, with least and most over the repeats."""

from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from bench.figures import SERVICE, Spread, Table
from bench.report import short

WIDTH, MARGIN = 1_400, 50
"""Pixels, at twice the size at which it is shown."""

NAME_WIDTH, VALUE_WIDTH = 320, 380
BAR_HEIGHT, ROW_HEIGHT, TITLE_HEIGHT, PANEL_GAP = 34, 60, 100, 40
PAPER, INK, FAINT, OTHERS, OURS = "#ffffff", "#1f2328", "#6e7781", "#b6bec8", "#1f6feb"
TITLE_SIZE, TEXT_SIZE, NOTE_SIZE = 36, 28, 24
NAMES = {
    "nginx": "nginx",
    "service": "this service",
    "relay": "FastAPI + httpx relay",
    "litellm": "LiteLLM proxy",
}


class Panel(NamedTuple):
    """One figure, and what is said above it."""

    figure: str
    title: str
    note: str


PANELS = (
    Panel(
        "cpu_us_per_event",
        "CPU per relayed event, microseconds",
        "200 streams at 50 events/s each; less is better",
    ),
    Panel(
        "stall_free_streams",
        "Streams on one core, none of them stalled",
        "a delta every 20 ms; a stall is a gap over 100 ms; more is better",
    ),
)


def draw(table: Table, path: Path, *, ladder_top: int) -> None:
    """Write the plot of a run as PNG; what reached `ladder_top` streams is said to be at least."""
    panels = [(panel, _bars(table, panel.figure)) for panel in PANELS]
    height = sum(_panel_height(bars) for _, bars in panels) + 2 * MARGIN - PANEL_GAP
    image = Image.new("RGB", (WIDTH, height), PAPER)
    pen = ImageDraw.Draw(image)
    top = MARGIN
    for panel, bars in panels:
        _panel(pen, panel, bars, top=top, at_least=ladder_top)
        top += _panel_height(bars)
    image.save(path, optimize=True)


def _bars(table: Table, figure: str) -> dict[str, Spread]:
    """The figure of every subject that has it and is shown."""
    return {name: table[name][figure] for name in NAMES if figure in table.get(name, {})}


def _panel_height(bars: dict[str, Spread]) -> int:
    return TITLE_HEIGHT + ROW_HEIGHT * len(bars) + PANEL_GAP


def _panel(
    pen: ImageDraw.ImageDraw, panel: Panel, bars: dict[str, Spread], *, top: int, at_least: int
) -> None:
    pen.text((MARGIN, top), panel.title, fill=INK, font=_font(TITLE_SIZE))
    pen.text((MARGIN, top + TITLE_SIZE + 8), panel.note, fill=FAINT, font=_font(NOTE_SIZE))
    longest = max((bar.max for bar in bars.values()), default=0) or 1
    scale = (WIDTH - 2 * MARGIN - NAME_WIDTH - VALUE_WIDTH) / longest
    for row, (name, bar) in enumerate(bars.items()):
        y = top + TITLE_HEIGHT + row * ROW_HEIGHT
        capped = panel.figure == "stall_free_streams" and bar.median >= at_least
        _bar(pen, name, bar, y=y, scale=scale, before="at least " if capped else "")


def _bar(
    pen: ImageDraw.ImageDraw, name: str, bar: Spread, *, y: int, scale: float, before: str
) -> None:
    """A bar to the median, a line from least to most, the numbers behind."""
    font, left = _font(TEXT_SIZE), MARGIN + NAME_WIDTH
    pen.text((MARGIN, y), NAMES[name], fill=INK, font=font)
    colour = OURS if name == SERVICE else OTHERS
    pen.rectangle((left, y, left + bar.median * scale, y + BAR_HEIGHT), fill=colour)
    middle, ends = y + BAR_HEIGHT // 2, [left + value * scale for value in (bar.min, bar.max)]
    pen.line((ends[0], middle, ends[1], middle), fill=INK, width=3)
    for end in ends:
        pen.line((end, middle - 8, end, middle + 8), fill=INK, width=3)
    spread = f"  ({short(bar.min)} to {short(bar.max)})" if bar.min < bar.max else ""
    at = (max(ends[1], left + bar.median * scale) + 16, y)
    pen.text(at, f"{before}{short(bar.median)}{spread}", fill=INK, font=font)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
