"""The figures of all repeats, and the targets held against their medians. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.measures import Figures

SERVICE, NGINX, LITELLM, PLAIN = "service", "nginx", "litellm", "plain"


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over all repeats."""

    median: float
    min: float
    max: float
    runs: tuple[float, ...]


Table = dict[str, dict[str, Spread]]
"""Subject → figure → its spread."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be shown. `value` is `None` where it was not measured in this run."""

    text: str
    value: float | None
    limit: float
    at_most: bool

    @property
    def met(self) -> bool | None:
        """Whether it is."""
        if self.value is None:
            return None
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def as_json(self) -> dict[str, Any]:
        """With the verdict."""
        return asdict(self) | {"met": self.met}


def spread(repeats: Mapping[str, list[Figures]]) -> Table:
    """Medians, least and most, of every figure that a subject has in any repeat."""
    table: Table = {}
    for subject, runs in repeats.items():
        names = dict.fromkeys(name for run in runs for name in run)
        table[subject] = {
            name: _spread([run[name] for run in runs if name in run]) for name in names
        }
    return table


def targets(table: Table, ladder_top: int) -> list[Target]:
    """What the bench is to show, from medians of this run.

    nginx has a limit here only where it stalls below `ladder_top` streams.
    """

    def own(figure: str) -> float | None:
        return _median(table, SERVICE, figure)

    def against(subject: str, figure: str) -> float | None:
        ours, theirs = own(figure), _median(table, subject, figure)
        return None if ours is None or not theirs else ours / theirs

    nginx_limit = (_median(table, NGINX, "stall_free_streams") or ladder_top) < ladder_top
    of_nginx = against(NGINX, "stall_free_streams") if nginx_limit else None
    upload = "upload_7mb_1_cpu_ms"
    return [
        _most("CPU per event, times nginx's", against(NGINX, "cpu_us_per_event"), 2.5),
        _most("the same, at the least", against(NGINX, "cpu_us_per_event"), 3.5),
        _most("CPU per event, times LiteLLM's", against(LITELLM, "cpu_us_per_event"), 1 / 6),
        _most("memory at rest, times LiteLLM's", against(LITELLM, "idle_mb"), 1 / 4),
        _least("stall-free streams", own("stall_free_streams"), 400),
        _least("the same, times nginx's where it has a limit", of_nginx, 0.6),
        _most("added time to first event, p50, ms", own("first_event_added_p50_ms"), 1.5),
        _most("added time to first event, p99, ms", own("first_event_added_p99_ms"), 5),
        _most("memory of an open stream, KB", own("stream_kb"), 50),
        _most("memory at rest, MB", own("idle_mb"), 90),
        _least("POST /search at 32, times LiteLLM's", against(LITELLM, "search_32_per_s"), 6),
        _most("CPU of a 7 MB upload, times the plain program's", against(PLAIN, upload), 3),
        _most("loop pause with eight 12-megapixel pictures, ms", own("intake_loop_pause_ms"), 50),
    ]


def _median(table: Table, subject: str, figure: str) -> float | None:
    found = table.get(subject, {}).get(figure)
    return found.median if found else None


def _spread(values: list[float]) -> Spread:
    rounded = [float(f"{value:.4g}") for value in values]
    return Spread(median(rounded), min(rounded), max(rounded), tuple(rounded))


def _most(text: str, value: float | None, limit: float) -> Target:
    return Target(text, value, limit, at_most=True)


def _least(text: str, value: float | None, limit: float) -> Target:
    return Target(text, value, limit, at_most=False)
