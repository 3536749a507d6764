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
def demo(tmp_path: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """The running demo, under settings that it must not be disturbed by."""
    kept = {name: value for name, value in os.environ.items() if "DASHSCOPE" not in name}
    disturbing = {"MODEL": "no-such-model", "PORT": "1", "CAPACITY": "-1", "SIMULATOR_KEY": "other"}
    command = [sys.executable, "-u", "-m", "demo"]
    env = {**kept, **disturbing, "TMPDIR": str(tmp_path), "SIMULATOR_SILENCE_S": "0.1", **settings}
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)


def ports(text: str) -> list[str]:
    return re.findall(r"(?:upstream|service) +http://127\.0\.0\.1:(\d+)", text)


def listening(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def until(process: subprocess.Popen[str], words: str) -> str:
    """What was printed up to the line that holds these words."""
    assert process.stdout
    text = ""
    for line in process.stdout:
        text += line
        if words in line:
            return text
    pytest.fail(text)


def test_once_it_searches_finds_its_own_picture_first_and_ends(tmp_path: Path) -> None:
    with demo(tmp_path, DEMO_ONCE="1") as process:
        text, _ = process.communicate()
    assert process.returncode == 0, text
    assert "\x1b" not in text
    phases = re.findall(r"^ +\d+\.\d s  (\w+)", text, re.MULTILINE)
    assert phases[:4] == ["waiting", "thinking", "searching", "found"]
    assert phases[-1] == "answering"
    assert re.search(r"^ +1  Lighthouse with red stripes", text, re.MULTILINE)
    assert "/gallery/red-lighthouse.jpg\n" in text
    assert re.search(r"tokens in, .* out, 1 search\n", text)
    assert "CNY" in text
    assert len(ports(text)) == 2
    assert not any(map(listening, ports(text)))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    shutil.which("curl") is None and os.environ.get("CI") != "true", reason="curl is not installed"
)
def test_it_goes_on_serving_and_the_printed_commands_work(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        text = until(process, "The pictures that the stand-in knows")
        commands = [line.strip() for line in text.splitlines() if line.startswith("  curl")]
        assert len(commands) == 3
        for command in commands:
            words = [*shlex.split(command), "--silent", "--show-error", "--fail"]
            answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            assert '"outcome":"matched"' in answer.replace(" ", "")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert process.returncode == 0
    assert rest.strip() == "Ended."
    assert not any(map(listening, ports(text)))


def test_sigterm_in_the_middle_leaves_no_child_and_no_traceback(tmp_path: Path) -> None:
    with demo(tmp_path, SIMULATOR_SILENCE_S="60") as process:
        text = until(process, "searching")
        process.terminate()
        rest, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert rest.strip() == "Ended."
    assert not any(map(listening, ports(text)))
    assert not list(tmp_path.iterdir())


def test_a_real_key_means_the_real_upstream_and_is_never_printed(tmp_path: Path) -> None:
    # Nobody listens there: the search fails, which is all that this test wants of it.
    real = {
        "DASHSCOPE_API_KEY": "sk-not-to-be-printed",
        "DASHSCOPE_BASE_URL": "http://127.0.0.1:9/compatible-mode/v1",
        "MODEL": "qwen3.7-plus",
        "CAPACITY": "5",
        "UPSTREAM_RETRIES": "0",
        "DEMO_ONCE": "1",
    }
    with demo(tmp_path, **real) as process:
        text, _ = process.communicate()
    assert process.returncode == 1
    assert "DashScope, with your key: every search costs money" in text
    assert "upstream_unavailable" in text
    assert "sk-not-to-be-printed" not in text
    assert not any(map(listening, ports(text)))


def test_a_service_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    broken = {"DASHSCOPE_API_KEY": "sk-x", "MODEL": "no-such-model", "CAPACITY": "5"}
    with demo(tmp_path, **broken) as process:
        text, _ = process.communicate()
    assert process.returncode == 1
    assert "The service ended with status 2. Its last output:\n  | " in text
    assert "MODEL" in text
    assert "Traceback" not in text
