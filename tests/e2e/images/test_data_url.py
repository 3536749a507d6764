"""`data:` URLs as browsers and libraries write them go the way of uploads."""

import base64
import random
from collections.abc import AsyncIterator

import pytest

from tests.e2e.images.files import encoded, jpeg, png, scene
from tests.e2e.images.uploads import Uploads, check_refusal, file_in, uploads

MAX_BYTES = 100_000
FILE = png()
TEXT = base64.b64encode(FILE).decode()

SPELLINGS = [
    f"data:image/png;base64,{TEXT}",
    f"DATA:image/PNG;BASE64,{TEXT}",
    f"data:image/svg+xml;charset=utf-8;base64,{TEXT}",
    f"data:image/png;base64,{TEXT.rstrip('=')}",
    "data:image/png;base64," + TEXT.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
    f"data:image/png;base64,{TEXT[:76]}\r\n{TEXT[76:]}\n",
    f"data:image/png;base64,{TEXT[:76]}%0A{TEXT[76:]}",
    f"data:;base64,{TEXT}",
    f"data:image/png; charset=utf-8 ; base64 ,{TEXT}",
    f'data:image/png;name="a b.png";base64,{TEXT}',
    f" \n data:image/png;base64,\n {TEXT} ",
]

REFUSALS = [
    ("data:image/png", "image_url_invalid", "base64"),
    ("data:image/svg+xml,<svg/>", "image_url_invalid", "base64"),
    ("data:image/png;base64,", "image_missing", "empty"),
    ("data:image/png;base64, \n", "image_missing", "empty"),
    ("data:image/png;base64,====", "image_unreadable", "base64"),
    ("data:image/png;base64,a-_b", "image_unreadable", "base64"),
    ("data:image/png;base64,abcde", "image_unreadable", "base64"),
    ("data:image/png;base64,äöüß", "image_unreadable", "base64"),
    (f"data:image/png;base64,{'!' * 99_000}", "image_unreadable", "base64"),
    (f"data:image/png;base64,{'A' * 140_000}", "image_too_large", str(MAX_BYTES)),
    (f"data:image/png;base64,{'%41' * 140_000}", "image_unreadable", "base64"),
    ("data:text/html;base64,PGh0bWw+", "image_type_unsupported", "an HTML page"),
    ("data:image/svg+xml;base64,PHN2Zy8+", "image_type_unsupported", "an SVG drawing"),
]


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Uploads]:
    async with uploads(image_max_bytes=MAX_BYTES) as service:
        yield service


async def arrived(service: Uploads, url: str) -> bytes:
    service.urls.clear()
    response = await service.post_url(url)
    assert response.status_code == 200, response.text
    return file_in(service.urls[0])


@pytest.mark.parametrize("url", SPELLINGS)
async def test_the_file_inside_arrives(url: str, service: Uploads) -> None:
    assert await arrived(service, url) == FILE


async def test_it_arrives_as_the_upload_of_the_same_file_does(service: Uploads) -> None:
    for body in (jpeg(), jpeg(scene(2100, 300)), encoded(scene(), "GIF")):
        url = f"data:image/webp;base64,{base64.b64encode(body).decode()}"
        assert await arrived(service, url) == await service.arrived(body)


async def test_the_largest_file_fits_with_its_padding(service: Uploads) -> None:
    for n_bytes in (MAX_BYTES - 2, MAX_BYTES - 1, MAX_BYTES):
        body = FILE + bytes(n_bytes - len(FILE))
        url = f"data:image/png;base64,{base64.b64encode(body).decode()}"
        assert await arrived(service, url) == FILE


@pytest.mark.parametrize("escape", [("/", r"\/"), ("+", r"\u002b"), ("=", r"\u003D")])
async def test_a_long_url_arrives_however_json_writes_it(
    escape: tuple[str, str], service: Uploads
) -> None:
    body = FILE + random.Random(7).randbytes(MAX_BYTES - len(FILE) - 1)
    url = f"data:image/png;base64,{base64.b64encode(body).decode()}"
    service.urls.clear()
    response = await service.post_url(url, escape=escape)
    assert response.status_code == 200, response.text
    assert file_in(service.urls[0]) == FILE


async def test_a_name_that_begins_like_a_long_url_is_refused(service: Uploads) -> None:
    response = await service.post_url({"url": "https://a.example/", "data:" + "A" * 99_000: 1})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(("url", "code", "saying"), REFUSALS)
async def test_what_is_none_is_refused(url: str, code: str, saying: str, service: Uploads) -> None:
    check_refusal(await service.post_url(url), code, saying)
