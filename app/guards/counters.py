"""How often each caller may ask: a sliding window per meter, in memory.

An own counter and not a library, because `limits` reads the wall clock itself and keeps a thread
to forget by. The window is exact: in no stretch of its length are more than the limit let through,
and who keeps to the limit is never refused; a token bucket would let through twice the limit in
its first window, fixed windows twice at their edges. Refused requests are not counted.
"""

import math
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import RateLimited

WINDOWS_S = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}

GRAINS = 1_000
"""Requests nearer to one another than a thousandth of the window share a mark.

So a meter holds no more marks than this however high its limit, and errs by 0.1 % at most, to the
strict side.
"""

MARKS_MAX = 200_000
"""Marks kept over all meters: 75 MB were measured with each on a meter of its own.

Beyond it the meters longest unused are forgotten, and start afresh.
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` requests in any `window_s` seconds."""

    limit: int
    window_s: int


@dataclass(frozen=True, slots=True)
class RateStatus:
    """What is left to a caller, in the terms of draft-ietf-httpapi-ratelimit-headers-10.

    `limit` and `window_s` are the policy's `q` and `w`; `remaining` and `reset_s` are `r` and `t`.
    `reset_s` is when the oldest counted request leaves the window: whole seconds, rounded up.
    """

    limit: int
    window_s: int
    remaining: int
    reset_s: int

    @property
    def policy_field(self) -> str:
        """Value of the `RateLimit-Policy` field."""
        return f'"default";q={self.limit};w={self.window_s}'

    @property
    def limit_field(self) -> str:
        """Value of the `RateLimit` field."""
        return f'"default";r={self.remaining};t={self.reset_s}'


def parse_rate(text: str) -> Rate | None:
    """Read `RATE_LIMIT`: `60/minute`, also by second, hour or day; `None` for `0`, which is off.

    Raises:
        ValueError: With one sentence that says what is expected.
    """
    if re.fullmatch(r"\s*0+\s*(/\s*[a-z]+\s*)?", text):
        return None
    found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*(second|minute|hour|day)\s*", text)
    if not found:
        raise ValueError("RATE_LIMIT: must be such as 60/minute (second, minute, hour, day) or 0")
    return Rate(int(found[1]), WINDOWS_S[found[2]])


@dataclass(slots=True)
class _Mark:
    """Requests of one grain of time: `at` is when the last of them came."""

    grain: int
    at: float
    count: int

    def when(self) -> float:
        return self.at


@dataclass(slots=True)
class _Meter:
    """One caller's requests inside the window, oldest first."""

    marks: list[_Mark]
    used: int = 0


class Counters:
    """Meters of one rate. `clock` gives seconds that never go back.

    Meters stand in the order of their newest mark, so those that are over are at the front.
    """

    def __init__(
        self, rate: Rate, *, clock: Callable[[], float], marks_max: int = MARKS_MAX
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._marks_max = marks_max
        self._marks = 0
        self._meters: OrderedDict[str, _Meter] = OrderedDict()

    @property
    def meters(self) -> int:
        """Meters held."""
        return len(self._meters)

    def hit(self, meter: str) -> RateStatus:
        """Count one request.

        Raises:
            RateLimited: The limit is reached; `retry_after_s` says when the next one may come.
        """
        now = self._clock()
        held = self._held(meter, now)
        if held.used >= self._rate.limit:
            wait_s = self._status(held, now).reset_s
            raise RateLimited("Too many requests of this caller.", retry_after_s=wait_s)
        self._count(held, now)
        self._meters[meter] = held
        self._meters.move_to_end(meter)
        self._forget(now)
        return self._status(held, now)

    def look(self, meter: str) -> RateStatus:
        """What is left, without counting."""
        now = self._clock()
        return self._status(self._held(meter, now), now)

    def _held(self, meter: str, now: float) -> _Meter:
        held = self._meters.get(meter) or _Meter([])
        gone = bisect_right(held.marks, now - self._rate.window_s, key=_Mark.when)
        held.used -= sum(mark.count for mark in held.marks[:gone])
        self._marks -= gone
        del held.marks[:gone]
        return held

    def _count(self, held: _Meter, now: float) -> None:
        grain = int(now * GRAINS / self._rate.window_s)
        held.used += 1
        if held.marks and held.marks[-1].grain == grain:
            held.marks[-1].at = now
            held.marks[-1].count += 1
        else:
            held.marks.append(_Mark(grain, now, 1))
            self._marks += 1

    def _forget(self, now: float) -> None:
        """Drop meters without a mark inside the window, and the oldest of too many."""
        while True:
            meter = next(iter(self._meters))
            marks = self._meters[meter].marks
            over = not marks or marks[-1].at <= now - self._rate.window_s
            if not over and self._marks <= self._marks_max:
                return
            self._marks -= len(marks)
            del self._meters[meter]

    def _status(self, held: _Meter, now: float) -> RateStatus:
        oldest = held.marks[0].at if held.marks else now - self._rate.window_s
        reset_s = math.ceil(oldest + self._rate.window_s - now)
        remaining = self._rate.limit - held.used
        return RateStatus(self._rate.limit, self._rate.window_s, remaining, reset_s)
