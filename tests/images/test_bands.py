"""What is done in bands comes out as if done at once."""

import pytest
from PIL import Image

from app.images.bands import resize, shrink
from tests.images.files import difference, noise


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("size", [(100, 150), (256, 193), (7, 1), (299, 200)])
def test_resizing_in_bands_is_resizing(mode: str, size: tuple[int, int]) -> None:
    # Not so strong that black and white are overshot, which depends on the order of the two passes.
    image = Image.effect_noise((300, 201), 30).convert(mode)
    whole = image.resize(size, Image.Resampling.LANCZOS)
    assert difference(resize(image, size), whole) < 0.5


@pytest.mark.parametrize("by", [1, 2, 4, 16])
def test_dividing_in_bands_is_dividing(by: int) -> None:
    image = noise(301, 199)
    small = shrink(image.size, lambda top, bottom: image.crop((0, top, 301, bottom)), by)
    assert difference(small, image.reduce(by)) == 0
