"""The simulator as a process."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from simulator.__main__ import main
from simulator.catalogue import SCENARIOS
from tests.simulator.asking import KEY, question


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_says_where_and_ends_cleanly_with_an_open_stream(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--silence-s", "600"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "SIMULATOR_PACE_S": "0"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        words = process.stdout.readline().decode().split()
        assert words[:3] == ["simulator:", "listening", "on"]
        assert words[3].endswith("/compatible-mode/v1")
        body = json.dumps(question(stream=True)).encode()
        request = urllib.request.Request(f"{words[3]}/responses", body, KEY)
        with urllib.request.urlopen(request) as answer:
            assert answer.readline() == b"id:1\n"
            process.send_signal(number)
            assert process.wait(timeout=20) == 0
        assert process.stdout.read() == b""
        assert process.stderr.read() == b""


def test_it_lists_its_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--scenarios"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SCENARIOS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--results", "101"],
        ["--results", "many"],
        ["--pace-s", "nan"],
        ["--nonsense"],
        ["--port", "70000"],
        ["--public-url", "ftp://x"],
    ],
)
def test_a_bad_flag_is_one_line_and_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert told.startswith("simulator: ")
    assert told.count("\n") == 1


def test_a_bad_variable_is_told_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIMULATOR_SEED", "x")
    with pytest.raises(SystemExit):
        main([])
    assert "--seed" in capsys.readouterr().err
