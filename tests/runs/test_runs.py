"""All runs of a process: joining, reuse, retention, memory, drain."""

import asyncio

import pytest

from app.errors import (
    Draining,
    IdempotencyMismatch,
    Overloaded,
    SearchNotFound,
    UpstreamUnavailable,
)
from app.models import Client, Event
from app.runs.log import EVENT_OVERHEAD_BYTES
from app.runs.runs import KEYS_PER_RUN
from tests.clock import settle, skip
from tests.runs.works import CREATED, DELTA, OWNER, Stage

STRANGER = Client("mobile", "mobile")
KB = Event("response.x", b"." * (1_000 - EVENT_OVERHEAD_BYTES))


async def test_a_second_equal_request_joins_the_running_one() -> None:
    stage = Stage()
    first = stage.runs.open(OWNER, "f", stage.make)
    second = stage.runs.open(OWNER, "f", stage.make, fresh=True)
    other = stage.runs.open(OWNER, "g", stage.make)
    assert (first.cache, second.cache, other.cache) == ("miss", "coalesced", "miss")
    assert first.reader.run is second.reader.run is not other.reader.run
    await stage.runs.close()


async def test_a_finished_run_is_reused_for_its_time_unless_a_fresh_one_is_asked_for() -> None:
    stage = Stage(cache_ttl_s=300)
    first = stage.runs.open(OWNER, "f", stage.make).reader.run
    stage.works[0].do(CREATED, None)
    await first.finished()
    again = stage.runs.open(OWNER, "f", stage.make)
    assert (again.cache, again.reader.run) == ("hit", first)
    skip(300)
    late = stage.runs.open(OWNER, "f", stage.make)
    assert late.cache == "miss"
    stage.works[1].do(CREATED, None)
    await late.reader.run.finished()
    assert stage.runs.open(OWNER, "f", stage.make, fresh=True).cache == "miss"
    await stage.runs.close()


@pytest.mark.parametrize("how", ["failed", "cancelled", "stopping"])
async def test_a_failed_or_cancelled_run_is_never_reused(how: str) -> None:
    stage = Stage()
    run = stage.runs.open(OWNER, "f", stage.make, key="k").reader.run
    if how == "failed":
        stage.works[0].do(CREATED, UpstreamUnavailable("no"))
    else:
        run.stop()
    if how != "stopping":
        await run.finished()
    again = stage.runs.open(OWNER, "f", stage.make, key="k")
    assert again.cache == "miss"
    assert again.reader.run is not run
    await stage.runs.close()


async def test_an_idempotency_key_finds_its_run_and_refuses_another_request() -> None:
    stage = Stage(cache_ttl_s=0)
    run = stage.runs.open(OWNER, "f", stage.make, key="k").reader.run
    stage.works[0].do(CREATED, None)
    await run.finished()
    assert stage.runs.open(OWNER, "f", stage.make, key="k", fresh=True).reader.run is run
    with pytest.raises(IdempotencyMismatch):
        stage.runs.open(OWNER, "g", stage.make, key="k")
    assert stage.runs.open(STRANGER, "h", stage.make, key="k").cache == "miss"
    await stage.runs.close()


async def test_a_run_with_an_idempotency_key_waits_for_its_caller_to_come_back() -> None:
    stage = Stage(linger_s=30)
    reader = stage.runs.open(OWNER, "f", stage.make, key="k", resumable=False).reader
    reader.close()
    await settle()
    assert not reader.run.ended
    await stage.runs.close()


async def test_only_the_owner_finds_a_run() -> None:
    stage = Stage()
    run = stage.runs.open(OWNER, "f", stage.make).reader.run
    assert stage.runs.find(OWNER, run.id) is run
    for owner, run_id in ((STRANGER, run.id), (OWNER, "srch_unknown")):
        with pytest.raises(SearchNotFound):
            stage.runs.find(owner, run_id)
    await stage.runs.close()


async def test_an_ended_run_is_forgotten_after_its_retention() -> None:
    stage = Stage(retention_s=600)
    run = stage.runs.open(OWNER, "f", stage.make, key="k").reader.run
    stage.works[0].do(CREATED, None)
    await run.finished()
    skip(599)
    await settle()
    assert stage.runs.find(OWNER, run.id) is run
    skip(1)
    await settle()
    with pytest.raises(SearchNotFound):
        stage.runs.find(OWNER, run.id)
    assert stage.runs.size_bytes == 0
    assert stage.runs.open(OWNER, "g", stage.make, key="k").cache == "miss"
    await stage.runs.close()


async def test_forgetting_an_old_run_leaves_its_successor_alone() -> None:
    stage = Stage(retention_s=600)
    first = stage.runs.open(OWNER, "f", stage.make, key="k").reader.run
    first.stop()
    await first.finished()
    second = stage.runs.open(OWNER, "f", stage.make, key="k").reader.run
    skip(600)
    await settle()
    assert stage.runs.open(OWNER, "f", stage.make, key="k").reader.run is second
    await stage.runs.close()


async def test_the_store_drops_the_oldest_ended_runs_first() -> None:
    stage = Stage(store_max_bytes=10_000)
    runs = []
    for number in range(3):
        runs.append(stage.runs.open(OWNER, f"f{number}", stage.make).reader.run)
        stage.works[number].do(KB, KB, KB, None)
        await runs[-1].finished()
    live = stage.runs.open(OWNER, "live", stage.make).reader.run
    stage.works[3].do(KB, KB)
    await settle()
    assert stage.runs.size_bytes < 10_000
    with pytest.raises(SearchNotFound):
        stage.runs.find(OWNER, runs[0].id)
    assert stage.runs.find(OWNER, runs[2].id) is runs[2]
    assert not live.ended
    await stage.runs.close()


async def test_last_words_that_overfill_the_store_drop_ended_runs_even_their_own() -> None:
    stage = Stage(store_max_bytes=1_100)
    run = stage.runs.open(OWNER, "f", stage.make).reader.run
    stage.works[0].do(KB, None)
    await run.finished()
    assert run.error is None
    assert stage.runs.size_bytes == 0
    with pytest.raises(SearchNotFound):
        stage.runs.find(OWNER, run.id)


async def test_a_store_full_of_running_ones_refuses_new_ones_and_fails_the_one_that_grows() -> None:
    stage = Stage(store_max_bytes=4_000)
    first = stage.runs.open(OWNER, "f", stage.make).reader.run
    second = stage.runs.open(OWNER, "g", stage.make).reader.run
    stage.works[0].do(KB, KB, KB)
    await settle()
    stage.works[1].do(CREATED, KB)
    await settle()
    assert isinstance(second.error, Overloaded)
    assert not first.ended
    stage.runs.size_bytes = 8_000
    with pytest.raises(Overloaded):
        stage.runs.open(OWNER, "h", stage.make)
    await stage.runs.close()


async def test_the_books_balance_over_many_runs() -> None:
    stage = Stage(retention_s=10)
    for number in range(50):
        stage.runs.open(OWNER, str(number), stage.make)
        ends = (UpstreamUnavailable("no"), None)[number % 2]
        stage.works[-1].do(CREATED, DELTA, ends)
    await settle()
    assert stage.runs.active == 0
    skip(10)
    await settle()
    assert stage.runs.size_bytes == 0


async def test_a_run_that_others_read_is_only_left_however_often_one_asks_to_stop_it() -> None:
    stage = Stage()
    mine = stage.runs.open(OWNER, "f", stage.make).reader
    others = stage.runs.open(OWNER, "f", stage.make).reader
    assert not stage.runs.cancel(mine.run)
    assert not stage.runs.cancel(mine.run)
    await settle()
    assert not mine.run.ended
    others.close()
    assert stage.runs.cancel(mine.run)
    await mine.run.finished()
    assert mine.run.cancelled


async def test_the_first_event_is_kept_in_a_full_store_for_it_says_that_the_work_was_let_in() -> (
    None
):
    stage = Stage(store_max_bytes=4_000)
    run = stage.runs.open(OWNER, "f", stage.make).reader.run
    stage.runs.size_bytes = 4_000
    stage.works[0].do(CREATED, DELTA)
    await run.finished()
    assert isinstance(run.error, Overloaded)
    assert not run.refused
    assert [event.type for event in run.log.events] == [CREATED.type, "search.failed"]


async def test_a_run_is_found_by_its_newest_keys_only() -> None:
    stage = Stage()
    for number in range(KEYS_PER_RUN + 1):
        run = stage.runs.open(OWNER, "f", stage.make, key=str(number)).reader.run
    assert len(run.keys) == KEYS_PER_RUN
    assert stage.runs.open(OWNER, "g", stage.make, key="0").cache == "miss"
    with pytest.raises(IdempotencyMismatch):
        stage.runs.open(OWNER, "g", stage.make, key=str(KEYS_PER_RUN))
    await stage.runs.close()


async def test_an_unlisted_run_is_not_found_and_gives_no_sign_of_life() -> None:
    stage = Stage(progress_s=1)
    run = stage.runs.open(OWNER, "f", stage.make, listed=False).reader.run
    stage.works[0].do(CREATED)
    await settle()
    skip(5)
    await settle()
    assert [event.type for event in run.log.events] == [CREATED.type]
    with pytest.raises(SearchNotFound):
        stage.runs.find(OWNER, run.id)
    await stage.runs.close()


async def test_draining_lets_runs_end_and_starts_no_new_ones() -> None:
    stage = Stage()
    run = stage.runs.open(OWNER, "f", stage.make).reader.run
    drain = asyncio.create_task(stage.runs.drain(20))
    await settle()
    with pytest.raises(Draining):
        stage.runs.open(OWNER, "g", stage.make)
    assert stage.runs.open(OWNER, "f", stage.make).cache == "coalesced"
    assert not drain.done()
    stage.works[0].do(CREATED, None)
    await drain
    assert run.error is None


async def test_what_has_not_ended_within_the_grace_is_failed_as_draining() -> None:
    stage = Stage()
    run = stage.runs.open(OWNER, "f", stage.make).reader.run
    stage.works[0].do(CREATED)
    drain = asyncio.create_task(stage.runs.drain(20))
    await settle()
    skip(20)
    await drain
    assert isinstance(run.error, Draining)
    assert run.error.retryable
    assert run.log.events[-1].type == "search.failed"
