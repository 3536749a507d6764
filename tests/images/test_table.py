"""Pictures as people have them: what goes upstream of each, or how it is refused."""

import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from app.errors import ImageTypeUnsupported, ImageUnreadable, ServiceError
from app.images import ImageLimits, Intake
from app.images.limits import MIN_SIDE
from tests.images import hostile, ordinary
from tests.images.files import (
    Make,
    animated_webp,
    difference,
    encoded,
    jpeg,
    noise,
    png,
    scene,
    sent,
    webp_frame,
)
from tests.images.table import Case, Refused, cut_out

LIMITS = ImageLimits(max_side=256, max_pixels=1_000_000, max_bytes=2_000_000)


WHOLE: dict[str, Make] = {
    "jpeg": lambda: jpeg(scene(200, 150)),
    "progressive jpeg": lambda: jpeg(scene(200, 150), progressive=True),
    "png": lambda: png(scene(200, 150)),
    "webp": lambda: encoded(scene(200, 150), "WEBP"),
    "lossless webp": lambda: encoded(noise(80, 60), "WEBP", lossless=True),
    "webp with transparency": lambda: encoded(cut_out().resize((200, 150)), "WEBP"),
    "animated webp": lambda: animated_webp((80, 60), webp_frame(noise(80, 60))),
    "gif": lambda: encoded(noise(80, 60).quantize(), "GIF"),
    "bmp": lambda: encoded(scene(80, 60), "BMP"),
    "tiff": lambda: encoded(noise(80, 60), "TIFF", compression="tiff_lzw"),
    "heic": lambda: encoded(noise(80, 60), "HEIF"),
    "heic of tiles": lambda: encoded(noise(200, 150), "HEIF", tile_size=64),
    "avif": lambda: encoded(noise(80, 60), "AVIF"),
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


@pytest.fixture
async def intake() -> AsyncIterator[Intake]:
    taken = Intake(LIMITS)
    yield taken
    await taken.close()
    assert taken.inflight.used_bytes == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_picture_arrives_or_is_refused_with_its_reason(
    case: Case, intake: Intake
) -> None:
    body = case.make()
    if isinstance(case.then, Refused):
        with pytest.raises(ServiceError) as refusal:
            await intake.take_in(body)
        assert type(refusal.value) is case.then.why
        assert case.then.saying in refusal.value.detail
        return
    file = sent(await intake.take_in(body))
    arrived = Image.open(io.BytesIO(file))
    arrived.load()
    expected = case.then.like()
    size = case.then.size or expected.size
    assert (file == body) is case.then.same
    assert arrived.size == size
    assert max(size) <= LIMITS.max_side or min(size) == MIN_SIDE
    if case.then.size:
        expected = expected.convert("RGBA").resize(size)
    assert difference(arrived, expected) <= case.then.tolerance


@pytest.mark.parametrize("tenth", range(1, 10))
@pytest.mark.parametrize("kind", WHOLE)
async def test_a_truncated_file_is_refused(kind: str, tenth: int, intake: Intake) -> None:
    body = WHOLE[kind]()
    with pytest.raises((ImageUnreadable, ImageTypeUnsupported)) as refusal:
        await intake.take_in(body[: len(body) * tenth // 10])
    assert refusal.value.detail.endswith(".")


@pytest.mark.parametrize("kind", WHOLE)
async def test_a_whole_file_is_taken(kind: str, intake: Intake) -> None:
    await intake.take_in(WHOLE[kind]())


def test_the_table_has_at_least_sixty_files() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60
