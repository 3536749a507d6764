"""`data:` URLs as browsers and libraries write them go the way of uploads."""

import base64
import random

import pytest

from tests.e2e.images.files import encoded, jpeg, png, scene
from tests.e2e.images.uploads import Uploads, check_refusal, file_in, uploads
from tests.service import shared

MAX_BYTES = 100_000
FILE = png()
TEXT = base64.b64encode(FILE).decode()

SPELLINGS = [
    f"data:image/png;base64,{TEXT}",
    f"data:image/svg+xml;charset=utf-8;base64,{TEXT}",
    f"data:image/png;base64,{TEXT.rstrip('=')}",
    "data:image/png;base64," + TEXT.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
    f"data:image/png;base64,{TEXT[:76]}%0A{TEXT[76:]}",
    f"data:;base64,{TEXT}",
    f"data:image/png; charset=utf-8 ; base64 ,{TEXT}",
    f'data:image/png;name="a b.png";base64,{TEXT}',
    f" \n data:image/png;base64,\n {TEXT} ",
]

REFUSALS = [
    ("data:image/png", "image_url_invalid", "base64"),
    ("data:image/png;base64,", "image_missing", "empty"),
    ("data:image/png;base64,a-_b", "image_unreadable", "base64"),
    ("data:image/png;base64,abcde", "image_unreadable", "base64"),
    (f"data:image/png;base64,{'A' * 140_000}", "image_too_large", str(MAX_BYTES)),
    (f"data:image/png;base64,{'%41' * 40_000}", "image_unreadable", "base64"),
    ("data:text/html;base64,PGh0bWw+", "image_type_unsupported", "an HTML page"),
]
service = shared(uploads, image_max_bytes=MAX_BYTES)


async def arrived(service: Uploads, url: str, escape: tuple[str, str] = ("/", "/")) -> bytes:
    response = await service.post_url(url, escape=escape)
    assert response.status_code == 200, response.text
    return file_in(service.urls[0])


@pytest.mark.parametrize("url", SPELLINGS)
async def test_the_file_inside_arrives(url: str, service: Uploads) -> None:
    assert await arrived(service, url) == FILE


async def test_it_arrives_as_the_upload_of_the_same_file_does(service: Uploads) -> None:
    largest = [FILE + bytes(MAX_BYTES - fewer - len(FILE)) for fewer in range(3)]
    for body in (jpeg(), jpeg(scene(2100, 300)), encoded(scene(), "GIF"), *largest):
        url = f"data:image/webp;base64,{base64.b64encode(body).decode()}"
        assert await arrived(service, url) == await service.arrived(body)


@pytest.mark.parametrize("escape", [("/", r"\/"), ("+", r"\u002b"), ("=", r"\u003D")])
async def test_a_long_url_arrives_however_json_writes_it(
    escape: tuple[str, str], service: Uploads
) -> None:
    body = FILE + random.Random(7).randbytes(MAX_BYTES - len(FILE) - 1)
    url = f"data:image/png;base64,{base64.b64encode(body).decode()}"
    assert await arrived(service, url, escape) == FILE


@pytest.mark.parametrize(("url", "code", "saying"), REFUSALS)
async def test_what_is_none_is_refused(url: str, code: str, saying: str, service: Uploads) -> None:
    check_refusal(await service.post_url(url), code, saying)
