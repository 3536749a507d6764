"""An event loop whose clock a test can put forward.

Every time-out, timer and pause of the service runs on its loop's clock, so handing it this loop
is handing it the clock: a minute of silence takes no time.
"""

import asyncio
from collections.abc import Callable


class SkippingLoop(asyncio.SelectorEventLoop):
    """Real time plus what was skipped; timers that fall due by a skip fire at the next turn."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0

    def time(self) -> float:
        """Seconds on this loop's clock."""
        return super().time() + self.skipped_s


def skip(seconds: float) -> None:
    """Put the running loop's clock forward."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    loop.skipped_s += seconds


async def settle(turns: int = 20) -> None:
    """Let everything that is ready to run have its turns."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Turn the loop until something has come about, for what nobody gives a signal of."""
    while not condition():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)
