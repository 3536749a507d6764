"""How much is measured: the loads and their lengths, the whole bench or a quick look."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Plan:
    """Loads and lengths; times in seconds, uploads in bytes, pictures in pixels."""

    repeats: int = 3
    streams: int = 200
    interval_s: float = 0.02
    deltas: int = 200
    ladder: tuple[int, ...] = (25, 50, 100, 200, 300, 400, 500, 600, 800, 1000, 1200)
    flood: tuple[int, ...] = (25, 50, 100, 200, 300, 400, 500, 600)
    ladder_deltas: int = 64
    burst_streams: int = 50
    burst_deltas: int = 500
    callers: tuple[int, ...] = (1, 32, 256)
    search_s: float = 2.5
    search_deltas: int = 16
    uploads_bytes: tuple[int, ...] = (200_000, 2_000_000, 7_000_000)
    upload_callers: tuple[int, ...] = (1, 16)
    upload_s: float = 2
    idle_streams: int = 500
    warm_streams: int = 20
    readers: int = 50
    first_events: int = 200
    intake_size: tuple[int, int] = (4_000, 3_000)
    intake_streams: int = 20
    intake_deltas: int = 500

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """`BENCH_QUICK=1` for a look that proves nothing; `BENCH_REPEATS` wins over either."""
        plan = cls.quick() if env.get("BENCH_QUICK") else cls()
        given = plan.as_json() | {"repeats": int(env.get("BENCH_REPEATS", plan.repeats))}
        return cls(**given)

    @classmethod
    def quick(cls) -> Self:
        """Every load in small: under a minute without LiteLLM."""
        return cls(
            repeats=1,
            streams=20,
            deltas=25,
            ladder=(10, 20),
            flood=(10, 20),
            ladder_deltas=16,
            burst_streams=5,
            burst_deltas=50,
            callers=(1, 8),
            search_s=0.2,
            uploads_bytes=(200_000, 7_000_000),
            upload_callers=(1, 2),
            upload_s=0.2,
            idle_streams=20,
            warm_streams=5,
            readers=10,
            first_events=20,
            intake_size=(1_000, 750),
            intake_streams=4,
            intake_deltas=150,
        )

    def as_json(self) -> dict[str, Any]:
        """All of it, for the results."""
        return asdict(self)
