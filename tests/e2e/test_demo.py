"""`python -m demo` as a whole: two real processes, one search, and nothing left behind."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.timeout(100)


@contextmanager
def demo(tmp_path: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "demo", *arguments],
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


def answers(text: str) -> bool:
    """Whether anything listens at an address in the text."""
    found = False
    for port in set(re.findall(r"http://127\.0\.0\.1:(\d+)", text)):
        with socket.socket() as probe:
            found |= probe.connect_ex(("127.0.0.1", int(port))) == 0
    return found


def until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout
    text = ""
    for line in process.stdout:
        text += line
        if words in line:
            return text
    pytest.fail(text)


def test_once_it_prints_the_address_the_search_and_its_cost_and_ends(tmp_path: Path) -> None:
    with demo(tmp_path, DEMO_ONCE="1") as process:
        text, _ = process.communicate()
    assert process.returncode == 0, text
    assert re.match(r"http://127\.0\.0\.1:\d+/  the page", text)
    phases = re.findall(r"^ +\d+\.\d s  (\w+)", text, re.MULTILINE)
    assert phases[:3] == ["waiting", "thinking", "searching"]
    assert phases[-1] == "answering"
    assert re.search(r"^ +1  Lighthouse with red stripes", text, re.MULTILINE)
    assert "completed, matched" in text
    assert re.search(r"^cost: 0\.\d+ CNY$", text, re.MULTILINE)
    assert not answers(text)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    shutil.which("curl") is None and os.environ.get("CI") != "true", reason="curl is not installed"
)
def test_it_keeps_running_until_ctrl_c_and_the_printed_command_works(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        text = until(process, "The simulator's pictures")
        command = next(line for line in text.splitlines() if line.startswith("  curl"))
        words = [*shlex.split(command), "--silent", "--show-error", "--fail"]
        answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert "event: search.completed" in answer
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert process.returncode == 0
    assert rest.strip() == "Ended."
    assert not answers(text)


def test_sigterm_in_mid_search_leaves_no_process_and_no_traceback(tmp_path: Path) -> None:
    with demo(tmp_path, SIMULATOR_SILENCE_S="60") as process:
        text = until(process, "searching")
        process.terminate()
        rest, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in rest
    assert not answers(text)
    assert not list(tmp_path.iterdir())
