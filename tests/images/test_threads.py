import os
import sys

import pytest

from app.images.intake import NICENESS, Intake
from app.images.limits import ImageLimits


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is the process's")
async def test_threads_stand_back_and_the_event_loop_does_not() -> None:
    before = os.nice(0)
    intake = Intake(ImageLimits(workers=1))
    assert await intake._in_thread(os.nice, 0) == min(before + NICENESS, 19)
    assert os.nice(0) == before
    await intake.close()
