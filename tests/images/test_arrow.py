"""Images that fade while their rows are read."""

import pytest
from PIL import Image

from app.images.arrow import FadingRows
from tests.images.files import noise

MODES = ("L", "P", "1", "I;16", "I", "F", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@pytest.mark.parametrize("mode", MODES)
def test_each_row_is_read_once(mode: str) -> None:
    grey = noise(700, 500).convert("L")
    image = grey.convert("LA").convert(mode) if mode == "PA" else grey.convert(mode)
    rows = FadingRows(image.copy())
    read = Image.new(mode, image.size)
    for top in range(0, 500, 64):
        read.paste(rows(top, min(top + 64, 500)), (0, top))
    assert read.tobytes() == image.tobytes()


@pytest.mark.parametrize("mode", ["L", "I;16", "I", "RGB"])
def test_what_was_read_is_gone(mode: str) -> None:
    rows = FadingRows(noise(700, 500).convert("L").convert(mode))
    rows(0, 400)
    rows(400, 500)
    assert not any(rows(200, 300).tobytes())


def test_an_image_in_many_pieces_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Image.Image) -> None:
        raise ValueError

    image = noise(700, 500)
    monkeypatch.setattr(Image.Image, "__arrow_c_array__", refuse)
    rows = FadingRows(image.copy())
    rows(400, 500)
    assert rows(0, 400).tobytes() == image.crop((0, 0, 700, 400)).tobytes()
