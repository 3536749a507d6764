"""The probe on the service's loop, and the measure that asks it; nothing here is timed."""

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from bench.children import announced
from bench.exchange import Broken
from bench.intake import intake
from bench.pictures import PHOTOS, photos
from bench.plan import Plan
from bench.probed import Probe
from bench.site import Site
from bench.subjects import Place, Service

CORE = min(os.sched_getaffinity(0))
SMALL = Plan(intake_size=(400, 300), intake_streams=2, intake_deltas=300)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """No service but the one that the measure starts itself."""
    with announced("bench.upstream", core=CORE, log=tmp_path / "upstream.log") as (pid, port):
        probed = partial(Service().probed, Place(CORE, tmp_path, port))
        yield Site(Service.face, None, port, pid, port, probed)


class Loop:
    """A loop whose time goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waiting: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, _s: float, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def tick(self, after_s: float) -> None:
        self.now_s += after_s
        self.waiting.pop()()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def probe(loop: Loop) -> Probe:
    return Probe(loop)  # type: ignore[arg-type]  # stands in for one


def test_a_probe_tells_the_longest_pause_once(loop: Loop, probe: Probe) -> None:
    for after_s in (0.001, 0.021, 0.003):
        loop.tick(after_s)
    assert probe.take_ms() == pytest.approx(20)
    loop.tick(0.002)
    assert probe.take_ms() == pytest.approx(1)


def test_a_pause_that_is_not_over_is_told(loop: Loop, probe: Probe) -> None:
    loop.now_s = 0.031
    assert probe.take_ms() == pytest.approx(30)


def test_eight_photos_are_different_and_many_formats() -> None:
    made = photos((120, 90))
    assert len(set(made)) == len(PHOTOS) == 8
    assert len(set(PHOTOS)) >= 3


def test_photos_are_taken_in_while_streams_run(site: Site) -> None:
    figures = asyncio.run(intake(site, SMALL))
    assert figures.keys() == {"intake_loop_pause_ms", "intake_ms", "intake_stream_gap_ms"}
    assert all(value > 0 for value in figures.values())


def test_streams_that_end_too_early_are_told(site: Site) -> None:
    plan = Plan(intake_size=(400, 300), intake_streams=2, intake_deltas=5)
    with pytest.raises(Broken, match="at their ends"):
        asyncio.run(intake(site, plan))
