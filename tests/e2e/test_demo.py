"""`python -m demo` as a whole: two real processes, one search, and nothing left behind."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.installed import need
from tests.processes import ROOT

pytestmark = pytest.mark.timeout(100)


@contextmanager
def demo(tmp_path: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "demo"],
        cwd=ROOT,
        env=kept | {"TMPDIR": str(tmp_path), "SIMULATOR_SILENCE_S": "0.1"} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout
    text = ""
    for line in process.stdout:
        text += line
        if words in line:
            return text
    pytest.fail(text)


def test_it_searches_runs_until_ctrl_c_and_leaves_nothing_behind(tmp_path: Path) -> None:
    need("curl")
    with demo(tmp_path) as process:
        text = until(process, "The simulator's pictures")
        command = next(line for line in text.splitlines() if line.startswith("  curl"))
        words = [*shlex.split(command), "--silent", "--show-error", "--fail"]
        answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert "event: search.completed" in answer
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert (process.returncode, rest.strip()) == (0, "Ended.")
    assert re.match(r"http://127\.0\.0\.1:\d+/  the page", text)
    phases = re.findall(r"^ +\d+\.\d s  (\w+)", text, re.MULTILINE)
    assert phases[:3] == ["waiting", "thinking", "searching"]
    assert re.search(r"^ +1  Lighthouse with red stripes", text, re.MULTILINE)
    assert "completed, matched" in text
    assert re.search(r"^cost: 0\.\d+ CNY$", text, re.MULTILINE)
    for port in re.findall(r"http://127\.0\.0\.1:(\d+)", text):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0
    assert not list(tmp_path.iterdir())
