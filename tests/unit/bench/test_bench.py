"""`python -m bench` as a command, in its smallest form, and what it takes for an answer."""

import os
import subprocess
import sys

import pytest

from bench.client import WrongAnswer
from bench.running import check
from bench.upstream import Answer, events
from tests.processes import ROOT

LAST = b'response.completed"'
ANSWER = Answer(deltas=3)
EVENTS = events(ANSWER)


@pytest.mark.timeout(100)
def test_another_checkout_is_measured_beside_this_one_in_the_same_run() -> None:
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "BENCH_QUICK": "1",
        "BENCH_PREVIOUS": str(ROOT),
        "BENCH_SUBJECTS": "service,previous",
        "BENCH_MEASURES": "paced,searches",
    }
    command = [sys.executable, "-m", "bench"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert rows["service"] == ["previous"]
    for figure in ("cpu_us_per_event", "open_cpu_ms_per_stream", "search_1_per_s"):
        assert all(float(value.replace(",", "")) > 0 for value in rows[figure][:2])


@pytest.mark.parametrize(
    "body",
    [
        [*EVENTS[:7], *EVENTS[8:]],
        [*EVENTS[:6], EVENTS[7], EVENTS[6], *EVENTS[8:]],
        [*EVENTS[:9], *EVENTS[8:]],
        EVENTS[:-1],
        [*EVENTS, EVENTS[-1]],
        [*EVENTS[:-2], EVENTS[-1], EVENTS[-2]],
    ],
    ids=["lost", "disordered", "doubled", "cut", "ended twice", "ended too early"],
)
def test_a_stream_that_is_not_whole_is_noticed(body: list[bytes]) -> None:
    check(b"".join(EVENTS), ANSWER.text, LAST)
    with pytest.raises(WrongAnswer):
        check(b"".join(body), ANSWER.text, LAST)
