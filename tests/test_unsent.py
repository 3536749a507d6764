import asyncio

import pytest

from app.unsent import Unsent
from tests.clock import settle, skip

AFTER_S = 30


class Connection(asyncio.WriteTransport):
    """Holds so many bytes for its reader."""

    def __init__(self, n_bytes: int) -> None:
        super().__init__()
        self.n_bytes = n_bytes
        self.drops: list[int] = []

    def get_write_buffer_size(self) -> int:
        return self.n_bytes

    def abort(self) -> None:
        self.drops.append(self.n_bytes)


async def passes(seconds: float) -> None:
    skip(seconds)
    await settle(3)


async def test_a_reader_that_takes_nothing_is_dropped_once() -> None:
    connection = Connection(100_000)
    Unsent(connection, AFTER_S).watch()
    await passes(AFTER_S - 1)
    assert connection.drops == []
    await passes(1)
    assert connection.drops == [100_000]
    await passes(10 * AFTER_S)
    assert connection.drops == [100_000]


async def test_a_reader_that_takes_a_little_every_time_is_kept_until_it_stops() -> None:
    connection = Connection(100_000)
    unsent = Unsent(connection, AFTER_S)
    unsent.watch()
    for _ in range(10):
        connection.n_bytes -= 1
        unsent.watch()
        await passes(AFTER_S)
    assert connection.drops == []
    await passes(AFTER_S)
    assert connection.drops == [99_990]


@pytest.mark.parametrize("why", ["it was stopped", "nothing is unsent", "there is no limit"])
async def test_nobody_is_dropped_where(why: str) -> None:
    connection = Connection(0 if why == "nothing is unsent" else 100_000)
    unsent = Unsent(connection, 0 if why == "there is no limit" else AFTER_S)
    unsent.watch()
    if why == "it was stopped":
        unsent.stop()
    await passes(10 * AFTER_S)
    assert connection.drops == []
    unsent.stop()
