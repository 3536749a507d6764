"""JPEGs of several scans read one component at a time: the same picture as at once."""

import io

import pytest
from PIL import Image

from app.images.limits import ImageLimits
from app.images.normalise import Raw, examine
from app.images.picture import PillowPicture
from app.images.progressive import ProgressivePicture
from tests.images.files import difference, encoded, exif, jpeg, scene, sent, turned

FILES = {
    "4:4:4": jpeg(scene(301, 199), progressive=True),
    "4:2:2": jpeg(scene(300, 200), progressive=True, subsampling=1),
    "stored as RGB": jpeg(scene(301, 199), progressive=True, keep_rgb=True),
    "CMYK": jpeg(scene(300, 200).convert("CMYK"), progressive=True),
}


def opened(file: bytes) -> ProgressivePicture:
    plan = examine(memoryview(file), ImageLimits(max_side=1))
    assert isinstance(plan, Raw)
    assert isinstance(plan.picture, ProgressivePicture)
    return plan.picture


@pytest.mark.parametrize("max_side", [0, 150, 299])
@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_it_looks_as_pillow_decodes_it(file: bytes, max_side: int) -> None:
    picture = opened(file)
    ours, theirs = picture.decode(max_side), PillowPicture.decode(picture, max_side)
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    assert difference(ours.convert("RGB"), theirs.convert("RGB")) < 1.5


@pytest.mark.parametrize("max_side", [0, 150])
def test_one_component_at_a_time_is_charged_less(max_side: int) -> None:
    picture = opened(FILES["4:4:4"])
    charged = picture.decoding_bytes(max_side)
    assert charged < PillowPicture.decoding_bytes(picture, max_side)


@pytest.mark.parametrize("max_side", [0, 20])
def test_it_is_turned_upright(max_side: int) -> None:
    file = jpeg(turned(6), progressive=True, exif=exif(orientation=6))
    plan = examine(memoryview(file), ImageLimits(max_side=max_side))
    assert isinstance(plan, Raw)
    assert isinstance(plan.picture, ProgressivePicture)
    arrived = Image.open(io.BytesIO(sent(plan.finish())))
    assert arrived.size == ((20, 15) if max_side else (64, 48))
    assert difference(arrived, scene().resize(arrived.size)) < 12


@pytest.mark.parametrize(
    "file", [jpeg(scene(300, 200)), jpeg(scene(300, 200), progressive=True, subsampling=2)]
)
def test_others_are_read_in_one(file: bytes) -> None:
    plan = examine(memoryview(file), ImageLimits(max_side=150))
    assert isinstance(plan, Raw)
    assert type(plan.picture) is PillowPicture
    assert encoded(plan.picture.decode(0), "PNG")
