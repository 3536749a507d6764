"""The picture that is uploaded."""

import io

from PIL import Image

from demo.picture import sample
from simulator import gallery


def test_it_is_the_gallery_s_picture_smaller_and_with_other_bytes() -> None:
    small = sample()
    with Image.open(io.BytesIO(small.jpeg)) as sent:
        sent.load()
        assert sent.format == "JPEG"
        assert sent.size == (small.width, small.height)
    with Image.open(io.BytesIO(gallery.jpeg(small.name))) as drawn:
        assert drawn.width > small.width
        assert drawn.height > small.height
