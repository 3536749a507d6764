"""Files as people have them: what goes upstream of each, or why it is refused."""

import io

import pytest
from PIL import Image

from tests.e2e.images import hostile, ordinary
from tests.e2e.images.files import MARKS, Case, Refused, difference, encoded, jpeg, noise
from tests.e2e.images.uploads import Uploads, uploads
from tests.service import shared

MAX_SIDE = 256
URL_MAX_CHARS = 10_485_760

PLACES = b"MPF\0 Exif ICC_PROFILE eXIf tEXt iTXt zTXt Photoshop".split()
HARMLESS = {
    *("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "gamma", "srgb"),
    *("transparency", "progressive", "progression", "interlace"),
}
LIMITS = {"image_max_pixels": 12_000_000, "image_max_bytes": 2_000_000}
service = shared(uploads, image_max_side=MAX_SIDE, **LIMITS)


@pytest.mark.parametrize("case", ordinary.CASES + hostile.CASES, ids=lambda case: case.name)
async def test_each_picture_arrives_or_is_refused_with_its_reason(
    case: Case, service: Uploads
) -> None:
    body, then = case.make(), case.then
    if isinstance(then, Refused):
        await service.refused(body, then.code, then.saying)
        return
    file = await service.arrived(body)
    arrived = Image.open(io.BytesIO(file))
    arrived.load()
    expected = then.like
    assert (file == body) is then.same
    # Nothing about the sender goes upstream.
    assert [mark for mark in (*MARKS, *PLACES) if mark in file] == []
    assert not arrived.getexif()
    assert arrived.info.keys() <= HARMLESS
    if then.scaled:
        assert MAX_SIDE * 7 / 8 <= max(arrived.size) <= MAX_SIDE
        assert abs(arrived.width / arrived.height - expected.width / expected.height) < 0.02
        expected = expected.convert("RGBA").resize(arrived.size)
    assert arrived.size == expected.size
    assert difference(arrived, expected) <= then.tolerance


@pytest.mark.parametrize("kind", ordinary.WHOLE)
async def test_a_whole_file_is_taken_and_a_truncated_one_refused(
    kind: str, service: Uploads
) -> None:
    body = ordinary.WHOLE[kind]()
    await service.arrived(body)
    for tenth in range(1, 10):
        response = await service.post(body[: len(body) * tenth // 10])
        assert response.json().get("code") in ("image_unreadable", "image_type_unsupported"), tenth
        assert response.json()["detail"].endswith(".")


async def test_a_files_name_and_declared_type_are_not_asked(service: Uploads) -> None:
    for name in ("photo.png", "../../etc/passwd", "a.exe", "図.heic"):
        for kind in ("image/png", "text/html", "application/pdf", "nonsense"):
            assert await service.arrived(jpeg(), name=name, kind=kind) == jpeg()


@pytest.mark.parametrize("what", hostile.OTHER_KINDS)
async def test_another_kind_of_file_is_refused_by_its_name(what: str, service: Uploads) -> None:
    await service.refused(hostile.OTHER_KINDS[what], "image_type_unsupported", f"This is {what};")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
async def test_what_is_too_long_for_a_data_url_is_encoded_anew(kind: str) -> None:
    image = noise(2048, 1700)
    body = encoded(image, kind, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))
    assert len(body) > URL_MAX_CHARS * 3 // 4
    async with uploads() as service:
        file = await service.arrived(body)
        assert len(service.urls[0]) <= URL_MAX_CHARS
    assert Image.open(io.BytesIO(file)).size == image.size
