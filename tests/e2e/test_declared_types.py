"""What a file is called, and what type it is said to have, counts for nothing: its content does."""

import base64
import io
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from simulator.gallery import jpeg
from tests.e2e.asking import PICTURE
from tests.service import running

KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF")
LIES = (("holiday.exe", "application/x-msdownload"), ("page.svg", "image/svg+xml"), ("x", ""))


def as_kind(kind: str) -> bytes:
    pillow_heif.register_heif_opener()
    image = Image.open(io.BytesIO(jpeg(PICTURE.name)))
    packed = io.BytesIO()
    (image.quantize(128) if kind == "GIF" else image).save(packed, kind)
    return packed.getvalue()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_picture_is_found_whatever_it_is_said_to_be(kind: str) -> None:
    body = as_kind(kind)
    uploads: list[dict[str, Any]] = [
        {"files": {"image": (name, body, declared)}} for name, declared in LIES
    ]
    url = f"data:image/x-lie;base64,{base64.b64encode(body).decode()}"
    uploads.append({"json": {"image_url": url}})
    async with running(cache_ttl_s=0) as service:
        for upload in uploads:
            result = (await service.http.post("/search", **upload)).json()
            assert result["results"][0]["title"] == PICTURE.title
            (arrived,) = service.record.calls[-1].images
            assert (arrived.width, arrived.height) == Image.open(io.BytesIO(body)).size


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "an MP4 video"),
    ],
)
async def test_what_is_no_picture_is_refused_with_what_it_is(body: bytes, what: str) -> None:
    async with running() as service:
        upload = {"image": ("photo.jpg", body, "image/jpeg")}
        response = await service.http.post("/search", files=upload)
        assert (response.status_code, response.json()["code"]) == (415, "image_type_unsupported")
        assert what in response.json()["detail"]
        assert not service.record.calls
