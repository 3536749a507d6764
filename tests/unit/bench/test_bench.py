"""`python -m bench` as a command, in its smallest form, and the shape of its committed results."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.client import WrongAnswer
from bench.results import spread, table_text, targets
from bench.running import check
from bench.upstream import Answer, events

ROOT = Path(__file__).parent.parent.parent.parent
LAST = b'response.completed"'
ANSWER = Answer(deltas=3)
EVENTS = events(ANSWER)


def bench(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        command, cwd=ROOT, env=kept | env, capture_output=True, text=True, check=False
    )


def test_help_lists_every_knob_and_an_unknown_subject_is_named() -> None:
    help_text = bench("--help").stdout
    for knob in ("SUBJECTS", "MEASURES", "REPEATS", "LITELLM", "QUICK", "PREVIOUS"):
        assert f"BENCH_{knob}=" in help_text
    done = bench(BENCH_SUBJECTS="nginx,apache")
    assert done.returncode == 1
    assert "BENCH_SUBJECTS: no apache; there are nginx, service, relay" in done.stderr


@pytest.mark.timeout(100)
def test_another_checkout_is_measured_beside_this_one_in_the_same_run() -> None:
    done = bench(
        BENCH_QUICK="1",
        BENCH_PREVIOUS=str(ROOT),
        BENCH_SUBJECTS="service,previous",
        BENCH_MEASURES="paced,searches",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert rows["service"] == ["previous"]
    for figure in ("cpu_us_per_event", "open_cpu_ms_per_stream", "search_1_per_s"):
        assert all(float(value.replace(",", "")) > 0 for value in rows[figure][:2])


def test_a_figure_is_the_median_of_its_repeats_and_a_target_a_ratio_of_medians() -> None:
    runs = [{"cpu_us_per_event": value} for value in (30.0, 20.0, 24.0)]
    table = spread({"nginx": [{"cpu_us_per_event": 10.0}], "service": runs})
    assert table_text(table).splitlines()[1].split() == ["cpu_us_per_event", "10", "24", "(20-30)"]
    found = {target["text"]: target for target in targets(table)}
    ratio = found["CPU per event, times nginx's"]
    assert (ratio["value"], ratio["met"]) == (2.4, True)
    assert found["memory of an open stream, KB"]["met"] is None


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
