"""Turns and mirrors, one after the other, against Pillow's own."""

from itertools import product

import pytest
from PIL import Image

from app.images.normalise import UPRIGHT
from app.images.turns import Step, orientation_of
from tests.images.files import scene

TRANSPOSES: dict[Step, Image.Transpose | None] = {
    ("irot", 0): None,
    ("irot", 1): Image.Transpose.ROTATE_90,
    ("irot", 2): Image.Transpose.ROTATE_180,
    ("irot", 3): Image.Transpose.ROTATE_270,
    ("imir", 0): Image.Transpose.FLIP_TOP_BOTTOM,
    ("imir", 1): Image.Transpose.FLIP_LEFT_RIGHT,
}


@pytest.mark.parametrize("count", range(4))
def test_the_orientation_undoes_all_steps(count: int) -> None:
    for steps in product(TRANSPOSES, repeat=count):
        expected = scene(6, 4)
        for step in steps:
            how = TRANSPOSES[step]
            expected = expected if how is None else expected.transpose(how)
        undone = UPRIGHT.get(orientation_of(steps))
        found = scene(6, 4) if undone is None else scene(6, 4).transpose(undone)
        assert found.tobytes() == expected.tobytes()
