"""A `data:` URL under its limit, whatever comes in."""

import base64
import io
import tracemalloc

from PIL import Image

from app.images import encode
from app.images.encode import data_url, jpeg_url, url_bytes
from tests.images.files import noise


def test_the_length_is_known_before() -> None:
    for size in (0, 1, 2, 3, 1000, encode.STEP_BYTES + 1):
        body = bytes(size)
        url = data_url("image/png", [memoryview(body)])
        assert len(url) == url_bytes("image/png", size)
        assert url == b"data:image/png;base64," + base64.b64encode(body)


def test_pieces_become_one() -> None:
    url = data_url("image/png", [memoryview(b"ab"), memoryview(b"cdef")])
    assert url == b"data:image/png;base64," + base64.b64encode(b"abcdef")


def test_a_url_takes_its_own_length_and_little_more() -> None:
    body = memoryview(bytes(20 * encode.STEP_BYTES))
    tracemalloc.start()
    url = data_url("image/png", [body])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(url) + 3 * encode.STEP_BYTES


def test_quality_goes_down_first_and_size_then() -> None:
    image = noise(200, 160)
    sizes = []
    for max_bytes in (40_000, 20_000, 10_000, 3_000):
        url = jpeg_url(image, max_bytes=max_bytes)
        assert len(url) <= max_bytes
        decoded = Image.open(io.BytesIO(base64.b64decode(url.partition(b",")[2])))
        sizes.append(decoded.size)
    assert sizes[0] == (200, 160)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1][0] < 150
