"""A picture of two layers laid on white."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from app.images.layers import lay_on_white
from tests.images.files import difference, noise


def layer(image: Image.Image) -> Any:
    """Decodes into this image."""

    @contextmanager
    def decoded() -> Iterator[Any]:
        def rows(top: int, bottom: int) -> Image.Image:
            return image.crop((0, top, image.width, bottom)).convert("RGB")

        yield SimpleNamespace(size=image.size, rows=rows)

    return decoded


def laid(colour: Image.Image, alpha: Image.Image, **options: Any) -> Image.Image:
    whole: dict[str, Any] = {"corner": (0, 0), "size": colour.size, "premultiplied": False, "by": 1}
    return lay_on_white(layer(colour), layer(alpha), **(whole | options))


COLOUR, ALPHA = noise(301, 199), Image.linear_gradient("L").resize((301, 199))


def transparent(alpha: Image.Image = ALPHA) -> Image.Image:
    image = COLOUR.copy()
    image.putalpha(alpha)
    return image


def test_it_is_as_opaque_as_alpha_says() -> None:
    assert difference(laid(COLOUR, ALPHA), transparent()) < 1


@pytest.mark.parametrize("size", [(150, 100), (602, 398)])
def test_alpha_of_another_size_is_stretched(size: tuple[int, int]) -> None:
    assert difference(laid(COLOUR, ALPHA.resize(size)), transparent()) < 2


def test_a_part_of_both_is_shown() -> None:
    part = laid(COLOUR, ALPHA, corner=(50, 40), size=(120, 90))
    assert difference(part, transparent().crop((50, 40, 170, 130))) < 1


def test_less_than_is_to_be_shown_is_an_error() -> None:
    with pytest.raises(ValueError, match="smaller"):
        laid(COLOUR, ALPHA, corner=(50, 40), size=(252, 159))


def test_sides_are_divided() -> None:
    divided = laid(COLOUR, ALPHA, by=2)
    white = Image.alpha_composite(Image.new("RGBA", (301, 199), "white"), transparent())
    assert difference(divided, white.convert("RGB").reduce(2)) < 1


def test_colours_that_are_weighed_already_are_not_weighed_again() -> None:
    weighed = Image.merge("RGB", transparent().convert("RGBa").split()[:3])
    assert difference(laid(weighed, ALPHA, premultiplied=True), transparent()) < 2
