"""Over a hundred files as people have them: what goes upstream of each, or why it is refused."""

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image

from tests.e2e.images import changed, hostile, ordinary
from tests.e2e.images.files import Case, Refused, difference, jpeg
from tests.e2e.images.uploads import Uploads, uploads

MAX_SIDE = 256
LIMITS: dict[str, Any] = {
    "image_max_side": MAX_SIDE,
    "image_max_pixels": 12_000_000,
    "image_max_bytes": 2_000_000,
}

CASES = [
    *ordinary.FORMATS,
    *ordinary.MODES,
    *ordinary.TURNED,
    *ordinary.COLOURS,
    *hostile.SIZES,
    *hostile.BOMBS,
    *hostile.POLYGLOTS,
]


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Uploads]:
    async with uploads(**LIMITS) as service:
        yield service


async def check(service: Uploads, case: Case) -> None:
    """Post the case's file, and hold what comes of it against its verdict."""
    body, then = case.make(), case.then
    if isinstance(then, Refused):
        await service.refused(body, then.code, then.saying)
        return
    file = await service.arrived(body)
    arrived = Image.open(io.BytesIO(file))
    arrived.load()
    expected = then.like()
    assert (file == body) is then.same
    if then.scaled:
        assert MAX_SIDE * 7 / 8 <= max(arrived.size) <= MAX_SIDE
        assert abs(arrived.width / arrived.height - expected.width / expected.height) < 0.02
        expected = expected.convert("RGBA").resize(arrived.size)
    assert arrived.size == expected.size
    assert difference(arrived, expected) <= then.tolerance


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_picture_arrives_or_is_refused_with_its_reason(
    case: Case, service: Uploads
) -> None:
    await check(service, case)


@pytest.mark.parametrize("case", changed.CASES, ids=lambda case: case.name)
async def test_the_libraries_decide_what_can_be_read(case: Case, service: Uploads) -> None:
    await check(service, case)


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


@pytest.mark.parametrize("name", ["photo.png", "../../etc/passwd", "a.exe", "図.heic"])
@pytest.mark.parametrize("kind", ["image/png", "text/html", "application/pdf", "nonsense"])
async def test_a_files_name_and_declared_type_are_not_asked(
    name: str, kind: str, service: Uploads
) -> None:
    assert await service.arrived(jpeg(), name=name, kind=kind) == jpeg()


@pytest.mark.parametrize("what", hostile.OTHER_KINDS)
async def test_another_kind_of_file_is_refused_by_its_name(what: str, service: Uploads) -> None:
    await service.refused(hostile.OTHER_KINDS[what], "image_type_unsupported", f"This is {what};")


def test_the_table_has_at_least_a_hundred_files() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 100
