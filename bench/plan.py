"""How much is measured: the loads and their lengths, in full or for a quick look."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Plan:
    """Loads and lengths; times in seconds, uploads in bytes, photos in pixels."""

    repeats: int = 3
    streams: int = 200
    interval_s: float = 0.02
    deltas: int = 200
    whole_deltas: int = 90
    ladder: tuple[int, ...] = (25, 50, 100, 200, 300, 400, 500, 600, 800, 1000, 1200)
    ladder_deltas: int = 64
    callers: tuple[int, ...] = (1, 32, 256)
    search_s: float = 2.5
    search_deltas: int = 16
    uploads_bytes: tuple[int, ...] = (200_000, 2_000_000, 7_000_000)
    upload_callers: tuple[int, ...] = (1, 16)
    upload_s: float = 2
    idle_streams: int = 500
    warm_streams: int = 20
    first_events: int = 200
    intake_size: tuple[int, int] = (4_000, 3_000)
    intake_streams: int = 20
    intake_deltas: int = 500

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """`BENCH_QUICK=1` for small loads that prove nothing; `BENCH_REPEATS` overrides either."""
        plan = cls()
        if env.get("BENCH_QUICK"):
            kept = ("interval_s", "search_deltas", "intake_deltas", "uploads_bytes")
            small = {n: _small(v) for n, v in asdict(plan).items() if n not in kept}
            plan = replace(plan, **small | {"repeats": 1})
        return replace(plan, repeats=int(env.get("BENCH_REPEATS", plan.repeats)))


def _small(value: Any) -> Any:
    """A tenth; of several loads the first two."""
    if isinstance(value, tuple):
        return tuple(max(1, one // 10) for one in value[:2])
    return value / 10 if isinstance(value, float) else max(1, value // 10)
