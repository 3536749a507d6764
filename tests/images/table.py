"""The words of the table: a file, and what is to come of it; and the pictures that they share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from app.errors import ServiceError
from tests.images.files import Make, encoded, scene


@dataclass(frozen=True)
class Goes:
    """It goes upstream and looks like this; `same` when not a byte is changed."""

    like: Callable[[], Image.Image] = scene
    same: bool = False
    tolerance: float = 6
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Refused:
    why: type[ServiceError]
    saying: str = ""


@dataclass(frozen=True)
class Case:
    name: str
    make: Make = field(repr=False)
    then: Goes | Refused


def grey() -> Image.Image:
    return scene().convert("L")


def cut_out() -> Image.Image:
    """The scene with its right half transparent."""
    image = scene().convert("RGBA")
    image.paste((0, 0, 0, 0), (32, 0, 64, 48))
    return image


def paletted() -> Image.Image:
    return scene().quantize(64)


def frames(count: int) -> bytes:
    others = [Image.new("P", (64, 48), n % 2) for n in range(count - 1)]
    return encoded(paletted(), "GIF", save_all=True, append_images=others)
