"""The attempts of one upstream call: each is timed, counted and logged, some are repeated.

Only what cannot have been billed is tried again, before the first event: a request that was never
fully written, and one that the upstream says it did not serve.
"""

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from app.errors import ServiceError, UpstreamRateLimited
from app.models import UpstreamCall
from app.settings import YEAR_S, Settings
from app.telemetry import Metrics

logger = logging.getLogger("app.upstream")

BASE_S = 0.5
BURST_BASE_S = 2.0  # A throttle of the burst rate asks for a slower ramp.
CAP_S = 8.0  # Longest pause of our own, as in the official SDKs.


class Attempts:
    """Runs the attempts of one call, each of which has to enter `timeout`, its deadline."""

    timeout: asyncio.Timeout

    def __init__(self, call: UpstreamCall, settings: Settings, metrics: Metrics) -> None:
        self.call, self._settings, self._metrics = call, settings, metrics
        self._idle_s = settings.upstream_idle_timeout_s or YEAR_S
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._number = 0

    @contextmanager
    def attempt(self, *, streamed: bool) -> Iterator[None]:
        """Around one attempt: counts it, if its request was written, and logs its failure."""
        first_event_s = streamed and self._settings.upstream_first_event_timeout_s
        self._total_by = self._clock() + (self._settings.upstream_total_timeout_s or YEAR_S)
        first_by = self._clock() + (first_event_s or YEAR_S)
        self.timeout = asyncio.timeout_at(min(first_by, self._total_by))
        self._heard_at = 0.0
        self._number += 1
        self.call.written = refused = False
        result = "internal"
        try:
            yield
            result = "ok"
        except ServiceError as error:
            result, refused = error.code, error.upstream is not None
            self.call.written = error.billed == "maybe"
            _log("upstream call failed", error, detail=error.detail)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            result = "cancelled"
            raise
        finally:
            if refused or self.call.written:
                self._metrics.upstream_calls.labels(result).inc()

    def heard(self) -> None:
        """Events have come: from now on, silence is bounded, to a hundredth."""
        now = self._clock()
        # To move the deadline takes 4 µs, a twentieth of an event.
        if not self._heard_at or now > self._heard_at + self._idle_s / 100:
            self._heard_at = now
            self.timeout.reschedule(min(now + self._idle_s, self._total_by))

    @property
    def phase(self) -> str:
        """The phase whose deadline is the next one."""
        if self.timeout.when() == self._total_by:
            return "total"
        return "idle" if self._heard_at else "first event"

    async def wait_or_raise(self, error: ServiceError) -> None:
        """Sleep before the next attempt, or raise `error` if it must not be repeated."""
        code = (error.upstream and error.upstream.code) or ""
        base_s = BURST_BASE_S if "burstrate" in code.lower().replace("_", "") else BASE_S
        # Half is random: not all callers come back at once.
        jitter = random.uniform(0.5, 1)  # noqa: S311 - nothing is kept secret by it
        wait_s = min(base_s * 2.0 ** (self._number - 1), CAP_S) * jitter
        wait_s = max(wait_s, error.retry_after_s or 0)
        total_s = self._settings.upstream_retry_total_s
        late = 0 < total_s < self._clock() - self._began + wait_s
        unserved = error.upstream is None or isinstance(error, UpstreamRateLimited)
        last = self._number > self._settings.upstream_retries
        if last or late or error.billed == "maybe" or not unserved:
            raise error
        self._metrics.upstream_retries.labels(error.code).inc()
        known = {"attempt": self._number, "wait_s": wait_s}
        _log("upstream call is retried", error, **known)
        self.call.span.add_event("retry", {"error.type": error.code, **known})
        await asyncio.sleep(wait_s)


def _log(event: str, error: ServiceError, **fields: object) -> None:
    """Log a failure, without anything of the request."""
    cause = repr(error.__cause__) if error.__cause__ else None
    upstream = asdict(error.upstream) if error.upstream else None
    known = {"code": error.code, **fields, "upstream": upstream, "cause": cause}
    logger.warning(event, extra={"fields": known})
