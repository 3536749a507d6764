"""Log lines: one a record, whatever is in it."""

import contextvars
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from app.telemetry import (
    PATHS_ONLY,
    QUIET,
    SERVERS,
    configure_logging,
    keep_queries_out,
    request_id,
    search_id,
)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    quiet = {name: logging.getLogger(name).level for name in QUIET}
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def log_some(**fields: Any) -> None:
    logging.getLogger("app.test").info("it happened", extra={"fields": fields})


def test_a_line_of_json_has_the_event_its_context_and_its_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(level="info", as_json=True)
    tokens = request_id.set("req_1"), search_id.set("srch_1")
    log_some(path="/a\nb", cost=None)
    request_id.reset(tokens[0])
    search_id.reset(tokens[1])
    log_some()
    first, second = map(json.loads, written(capsys))
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info",
        "logger": "app.test",
        "event": "it happened",
        "request_id": "req_1",
        "search_id": "srch_1",
        "path": "/a\nb",
        "cost": None,
    }
    assert set(second) == {"time", "level", "logger", "event"}


def test_a_line_of_text_has_the_fields_too_and_no_value_breaks_out_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(level="info", as_json=False)
    log_some(path="/a\n2026-01-01 INFO forged")
    log_some()
    first, second = written(capsys)
    assert first.endswith('INFO app.test it happened {"path": "/a\\n2026-01-01 INFO forged"}')
    assert second.endswith("INFO app.test it happened")


def test_a_line_of_text_is_found_by_its_ids_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", as_json=False)

    def log() -> None:
        request_id.set("req_1")
        search_id.set("srch_1")
        log_some(path="/a")
        log_some(search_id="srch_2")

    contextvars.copy_context().run(log)
    first, second = written(capsys)
    assert first.endswith('{"request_id": "req_1", "search_id": "srch_1", "path": "/a"}')
    assert second.endswith('{"request_id": "req_1", "search_id": "srch_2"}')


@pytest.mark.parametrize("as_json", [True, False])
def test_a_trace_is_kept(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: FBT001 - both forms
    configure_logging(level="error", as_json=as_json)
    logging.getLogger("app.test").error("it broke", exc_info=LookupError())
    lines = written(capsys)
    assert len(lines) == 1 or not as_json
    assert "LookupError" in lines[-1]


def test_levels_are_kept_and_talkative_libraries_stay_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(level="debug", as_json=True)
    for name in ("app", *QUIET):
        logging.getLogger(f"{name}.part").debug("detail of %s", name)
    configure_logging(level="warning", as_json=True)
    log_some()
    assert [json.loads(line)["event"] for line in written(capsys)] == ["detail of app"]


@pytest.mark.parametrize("library", ["httpx", "sse_starlette.sse", "asyncio"])
def test_no_library_tells_at_debug_level_what_passes_through_it(
    library: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(level="debug", as_json=True)
    logging.getLogger(library).debug("chunk: %r", b"what was asked")
    logging.getLogger(library).warning("it broke")
    assert [json.loads(line)["event"] for line in written(capsys)] == ["it broke"]


def test_servers_tell_paths_without_their_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    for server in SERVERS:
        monkeypatch.setattr(logging.getLogger(server), "filters", [])
    keep_queries_out()
    keep_queries_out()
    for server in SERVERS:
        told = logging.getLogger(server)
        assert told.filters == [PATHS_ONLY]
        for line, args, shown in (
            ('%s - "%s %s" %d', ("1.2.3.4:5", "GET", "/a?access_token=x", 200), '/a" 200'),
            ("%(path)s it is", ({"path": "/b?"},), "/b? it is"),
        ):
            record = logging.LogRecord(server, logging.INFO, "", 0, line, args, None)
            assert told.filter(record)
            assert record.getMessage().endswith(shown)
            assert "access_token" not in record.getMessage()
