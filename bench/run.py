"""One run of the bench: every subject under every load, some times over."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvloop

from bench.baseline import plain_uploads
from bench.children import Died, announced
from bench.exchange import Broken
from bench.figures import PLAIN
from bench.measures import MEASURES, Figures
from bench.plan import Plan
from bench.site import Site
from bench.subjects import Place, Service, Subject

BROKEN = (Broken, Died, TimeoutError, OSError, ExceptionGroup)
"""What ends one measurement and not the bench; the bench then fails as a whole."""


class Cores(NamedTuple):
    """The core of the subject under test, and the one of load and upstream."""

    subject: int
    load: int


class Bench:
    """One run: what is chosen, and what came of it so far."""

    def __init__(self, plan: Plan, subjects: Sequence[Subject], measures: Sequence[str]) -> None:
        self.plan = plan
        self.subjects = tuple(subjects)
        self.measures = measures
        self.failures: list[str] = []
        self.repeats: dict[str, list[Figures]] = {subject.name: [] for subject in subjects}

    def run(self, folder: Path, cores: Cores) -> None:
        """Measure all, beginning every repeat with another subject."""
        for number in range(self.plan.repeats):
            turn = number % len(self.subjects)
            for subject in self.subjects[turn:] + self.subjects[:turn]:
                place = folder / f"{subject.name}-{number}"
                place.mkdir()
                _say(f"repeat {number + 1} of {self.plan.repeats}: {subject.name}")
                self.repeats[subject.name].append(self._measure(subject, place, cores))
            if "uploads" in self.measures:
                self._plain(folder, cores)

    def _measure(self, subject: Subject, folder: Path, cores: Cores) -> Figures:
        found: Figures = {}
        try:
            with _site(subject, folder, cores) as site:
                for name in self.measures:
                    self._one(site, subject.name, name, found)
        except BROKEN as exc:
            self._fail(f"{subject.name}: {exc!r}")
        return found

    def _plain(self, folder: Path, cores: Cores) -> None:
        try:
            found = plain_uploads(self.plan, core=cores.subject, folder=folder)
        except BROKEN as exc:
            self._fail(f"{PLAIN}: {exc!r}")
        else:
            self.repeats.setdefault(PLAIN, []).append(found)

    def _one(self, site: Site, subject: str, name: str, found: Figures) -> None:
        began_s = time.monotonic()
        try:
            found |= uvloop.run(MEASURES[name](site, self.plan))
        except BROKEN as exc:
            self._fail(f"{subject}, {name}: {exc!r}")
        _say(f"    {name}: {time.monotonic() - began_s:.1f} s")

    def _fail(self, text: str) -> None:
        self.failures.append(text)
        _say(f"FAILED {text}")


@contextmanager
def _site(subject: Subject, folder: Path, cores: Cores) -> Iterator[Site]:
    """A subject of its own upstream, both fresh."""
    log = folder / "upstream.log"
    with announced("bench.upstream", core=cores.load, log=log) as (upstream_pid, upstream_port):
        place = Place(cores.subject, folder, upstream_port)
        with subject.start(place) as started:
            site = Site(subject.face, started.pid, started.port, upstream_pid, upstream_port)
            if isinstance(subject, Service):
                site.probed = partial(subject.probed, place)
            yield site


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
