"""One run: how it begins, speaks, ends, and who keeps it going."""

import asyncio

import pytest

from app.errors import Internal, Overloaded, UpstreamProtocol, UpstreamUnavailable
from app.models import Event
from app.runs import Run
from tests.clock import settle, skip
from tests.runs.works import CREATED, DELTA, OWNER, ScriptedWork, Stage

FAILED = Event("response.failed", b'{"type":"response.failed"}')


def begin(stage: Stage) -> tuple[Run, ScriptedWork]:
    opened = stage.runs.open(OWNER, "f", stage.make)
    return opened.reader.run, stage.works[-1]


def types(run: Run) -> list[str]:
    return [event.type for event in run.log.events]


async def test_a_run_logs_the_works_events_and_its_last_words() -> None:
    run, work = begin(Stage())
    work.do(CREATED, DELTA, None)
    await run.finished()
    assert types(run) == [CREATED.type, DELTA.type, "search.completed"]
    assert work.closed


async def test_ids_are_unguessable() -> None:
    ids = {begin(Stage())[0].id for _ in range(100)}
    assert len(ids) == 100
    assert all(len(bytes.fromhex(run_id.removeprefix("srch_"))) * 8 >= 128 for run_id in ids)


async def test_a_failure_before_the_first_event_is_raised_to_who_waits_for_the_opening() -> None:
    run, work = begin(Stage())
    work.do(CREATED, UpstreamUnavailable("no"))
    with pytest.raises(UpstreamUnavailable):
        await run.opened(2)
    assert types(run) == [CREATED.type, "search.failed"]


async def test_the_upstreams_own_word_of_a_failure_does_not_open_the_run_but_is_logged() -> None:
    run, work = begin(Stage())
    error = UpstreamUnavailable("no")
    error.told_by = (FAILED.type, FAILED.data)
    work.do(CREATED, error)
    with pytest.raises(UpstreamUnavailable):
        await run.opened(2)
    assert types(run) == [CREATED.type, FAILED.type, "search.failed"]


async def test_a_failure_behind_the_first_event_leaves_the_run_opened() -> None:
    run, work = begin(Stage())
    work.do(CREATED, DELTA, UpstreamUnavailable("no"))
    await run.opened(2)
    await run.finished()
    assert types(run)[-1] == "search.failed"


async def test_the_opening_is_waited_for_no_longer_than_asked() -> None:
    run, work = begin(Stage())
    work.do(CREATED)
    opening = asyncio.create_task(run.opened(2))
    await settle()
    assert not opening.done()
    skip(2)
    await opening
    assert types(run) == [CREATED.type]
    run.stop()


async def test_a_refused_run_is_told_to_who_waits_for_admission_and_not_kept() -> None:
    stage = Stage()
    run, work = begin(stage)
    work.do(Overloaded("full"))
    with pytest.raises(Overloaded):
        await run.admitted()
    assert stage.runs.active == 0
    with pytest.raises(Exception, match="No such search"):
        stage.runs.find(OWNER, run.id)


async def test_the_opening_of_a_run_that_still_waits_for_admission_is_its_admission() -> None:
    run, work = begin(Stage())
    opening = asyncio.create_task(run.opened(2))
    await settle()
    skip(2)
    await settle()
    assert not opening.done()
    work.do(Overloaded("full"))
    with pytest.raises(Overloaded):
        await opening


async def test_a_bug_in_the_work_is_an_internal_error_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, work = begin(Stage())
    work.do(CREATED, ZeroDivisionError("a bug"))
    await run.finished()
    assert isinstance(run.error, Internal)
    assert types(run)[-1] == "search.failed"
    assert "a bug" in caplog.text


async def test_silence_is_filled_with_signs_of_life_and_traffic_puts_them_off() -> None:
    run, work = begin(Stage(progress_s=5))
    work.do(CREATED)
    await settle()
    skip(4)
    work.do(DELTA)
    await settle()
    skip(4)
    await settle()
    assert types(run) == [CREATED.type, DELTA.type]
    skip(1)
    await settle()
    assert types(run)[-1] == "search.progress"
    for _ in range(11):
        skip(5)
        await settle()
    assert types(run).count("search.progress") == 12
    run.stop()


async def test_no_sign_of_life_is_given_where_it_is_switched_off_or_before_admission() -> None:
    for progress_s, first in ((0, [CREATED]), (5, [])):
        run, work = begin(Stage(progress_s=progress_s))
        work.do(*first)
        await settle()
        skip(60)
        await settle()
        assert "search.progress" not in types(run)
        run.stop()


async def test_signs_of_life_do_not_open_a_run() -> None:
    run, work = begin(Stage(progress_s=1))
    work.do(CREATED)
    opening = asyncio.create_task(run.opened(60))
    await settle()
    skip(1)
    await settle()
    assert types(run)[-1] == "search.progress"
    assert not opening.done()
    work.do(UpstreamUnavailable("no"))
    with pytest.raises(UpstreamUnavailable):
        await opening


async def test_a_run_that_grows_too_large_fails_clearly() -> None:
    run, work = begin(Stage(max_bytes=10_000))
    big = Event("response.x", b"." * 6_000)
    work.do(CREATED, big, big)
    await run.finished()
    assert isinstance(run.error, UpstreamProtocol)
    assert types(run) == [CREATED.type, big.type, "search.failed"]
    assert work.closed


async def test_signs_of_life_stop_a_run_that_they_make_too_large() -> None:
    run, work = begin(Stage(progress_s=1, max_bytes=300))
    work.do(CREATED)
    await settle()
    for _ in range(3):
        skip(1)
        await settle()
    assert isinstance(run.error, UpstreamProtocol)
    assert types(run)[-1] == "search.failed"


@pytest.mark.parametrize("started", [False, True])
async def test_a_stopped_run_ends_as_cancelled_even_before_its_first_step(*, started: bool) -> None:
    run, work = begin(Stage())
    if started:
        work.do(CREATED)
        await settle()
    run.stop()
    await run.finished()
    assert run.cancelled
    assert types(run)[-1] == "search.cancelled"
    assert work.closed is started


async def test_a_run_is_stopped_once_and_by_the_first_cause() -> None:
    run, _work = begin(Stage())
    run.stop(Overloaded("first"))
    run.stop()
    await run.finished()
    assert isinstance(run.error, Overloaded)
    run.stop()
    assert not run.cancelled


async def test_a_run_goes_on_for_a_while_when_its_last_reader_has_left() -> None:
    stage = Stage(linger_s=30)
    opened = stage.runs.open(OWNER, "f", stage.make)
    run = opened.reader.run
    stage.works[0].do(CREATED)
    await settle()
    opened.reader.close()
    opened.reader.close()
    skip(29)
    await settle()
    assert not run.ended
    skip(1)
    await settle()
    assert run.cancelled


async def test_a_reader_that_comes_back_keeps_the_run_going() -> None:
    stage = Stage(linger_s=30)
    opened = stage.runs.open(OWNER, "f", stage.make)
    run = opened.reader.run
    opened.reader.close()
    skip(29)
    await settle()
    again = run.read(resumable=True)
    skip(60)
    await settle()
    assert not run.ended
    again.close()
    skip(30)
    await settle()
    assert run.cancelled


async def test_a_run_that_nobody_could_come_back_to_stops_with_its_last_reader() -> None:
    stage = Stage()
    first = stage.runs.open(OWNER, "f", stage.make, resumable=False).reader
    second = stage.runs.open(OWNER, "f", stage.make, resumable=False).reader
    first.close()
    await settle()
    assert not first.run.ended
    second.close()
    await settle()
    assert first.run.cancelled


async def test_a_run_that_a_stream_once_read_lingers_for_it() -> None:
    stage = Stage()
    plain = stage.runs.open(OWNER, "f", stage.make, resumable=False).reader
    stage.runs.open(OWNER, "f", stage.make).reader.close()
    plain.close()
    await settle()
    assert not plain.run.ended
    plain.run.stop()


async def test_a_run_whose_last_words_fail_still_ends_with_a_terminal_event(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> list[Event]:
        raise ZeroDivisionError("no words")

    run, work = begin(Stage())
    monkeypatch.setattr(work, "conclude", fail)
    work.do(CREATED, None)
    await run.finished()
    assert types(run)[-1] == "search.failed"
    assert b'"code":"internal"' in run.log.events[-1].data
    assert isinstance(run.error, Internal)
    assert "no words" in caplog.text
