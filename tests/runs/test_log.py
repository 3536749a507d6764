"""The log: appended by one, read by many, each at its own pace."""

from contextlib import ExitStack

from app.models import Event
from app.runs import EventLog

ONE, TWO = (Event("response.x", str(n).encode()) for n in (1, 2))


def test_a_reader_is_told_when_there_is_more_and_at_the_end() -> None:
    log = EventLog()
    seen: list[tuple[int, bool]] = []
    with log.read_by(lambda: seen.append((len(log.events), log.closed))):
        log.append(ONE, 10)
        log.append(TWO, 20)
        assert not seen
        log.tell()
        log.close()
    assert log.events == [ONE, TWO]
    assert seen == [(2, False), (2, True)]


def test_all_readers_are_told_and_none_that_has_left() -> None:
    log = EventLog()
    told: list[str] = []
    with log.read_by(lambda: told.append("stays")):
        with log.read_by(lambda: told.append("leaves")):
            log.tell()
        log.tell()
    log.tell()
    assert told == ["stays", "leaves", "stays"]


def test_a_reader_may_leave_while_it_is_being_told() -> None:
    log = EventLog()
    told: list[str] = []
    with ExitStack() as first:
        first.enter_context(log.read_by(first.close))
        with log.read_by(lambda: told.append("second")):
            log.tell()
            log.tell()
    assert told == ["second", "second"]


def test_the_log_knows_its_size() -> None:
    log = EventLog()
    log.append(ONE, 7)
    log.append(TWO, 5)
    assert log.size_bytes == 12
