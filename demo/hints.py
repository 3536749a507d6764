"""What to try after the demo's own search: commands that work as they are printed."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from demo.screen import Screen


@dataclass(frozen=True, slots=True)
class Site:
    """Where things are; `gallery` is empty when the real upstream is used."""

    service: str
    gallery: str
    upload: Path


def show(screen: Screen, site: Site) -> None:
    """Write the commands, each below a comment on what it does."""
    screen.line()
    screen.line(screen.style("Still serving; Ctrl-C ends it. Try in another terminal:", "bold"))
    for what, command in commands(site):
        screen.line(f"  # {what}")
        screen.line(f"  {command}")
    if site.gallery:
        screen.line(f"The pictures that the stand-in knows: {site.gallery}")


def commands(site: Site) -> list[tuple[str, str]]:
    """What each of three commands does, and the command."""
    part = shlex.quote(f"image=@{site.upload}")
    upload = ("the same upload", f"curl -N -F {part} {site.service}/search/stream")
    if site.gallery:
        return [upload, _by_url(site), _by_get(site)]
    return [
        upload,
        ("the same, answered once at its end", f"curl -F {part} {site.service}/search"),
        ("what has been counted so far", f"curl {site.service}/metrics"),
    ]


def _by_url(site: Site) -> tuple[str, str]:
    body = '{"image_url": "https://gallery.example/green-apple"}'
    kind = "-H 'Content-Type: application/json'"
    return "a picture by its URL", f"curl {kind} -d '{body}' {site.service}/search"


def _by_get(site: Site) -> tuple[str, str]:
    url = f"{site.service}/search/stream?image_url=https://gallery.example/blue-peaks"
    kind = "-H 'Accept: text/event-stream'"
    return "a stream as a browser's EventSource asks for it", f"curl -N {kind} '{url}'"
