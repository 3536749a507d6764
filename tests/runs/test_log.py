"""The log: appended by one, read by many, each at its own pace."""

import asyncio

from app.models import Event
from app.runs import EventLog
from app.runs.log import EVENT_OVERHEAD_BYTES
from tests.clock import settle, skip

ONE, TWO, THREE = (Event("response.x", str(n).encode()) for n in (1, 2, 3))


async def test_a_reader_gets_what_stands_behind_its_cursor() -> None:
    log = EventLog()
    for event in (ONE, TWO, THREE):
        log.append(event)
    assert await log.read(0) == [ONE, TWO, THREE]
    assert await log.read(2) == [THREE]


async def test_a_reader_at_the_end_waits_for_the_next_event() -> None:
    log = EventLog()
    readers = [asyncio.create_task(log.read(0)) for _ in range(3)]
    await settle()
    assert not any(reader.done() for reader in readers)
    log.append(ONE)
    assert await asyncio.gather(*readers) == [[ONE]] * 3


async def test_a_reader_that_waits_for_a_later_number_sleeps_on() -> None:
    log = EventLog()
    reader = asyncio.create_task(log.read(1))
    await settle()
    log.append(ONE)
    await settle()
    assert not reader.done()
    log.append(TWO)
    assert await reader == [TWO]


async def test_closing_wakes_all_readers_with_nothing() -> None:
    log = EventLog()
    reader = asyncio.create_task(log.read(0))
    await settle()
    log.close()
    assert await reader == []
    assert await log.read(5) == []


async def test_a_wait_can_be_bounded() -> None:
    log = EventLog()
    reader = asyncio.create_task(log.read(0, within_s=15))
    await settle()
    skip(15)
    assert await reader == []
    assert not log.closed


async def test_a_reader_that_was_cancelled_does_not_disturb_the_others() -> None:
    log = EventLog()
    leaving, staying = (asyncio.create_task(log.read(0)) for _ in range(2))
    await settle()
    leaving.cancel()
    log.append(ONE)
    assert await staying == [ONE]


async def test_the_log_knows_its_size() -> None:
    log = EventLog()
    log.append(Event("response.x", b"12345"))
    assert log.size_bytes == 5 + EVENT_OVERHEAD_BYTES
