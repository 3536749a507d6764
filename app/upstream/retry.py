"""The attempts of one upstream call: each is counted and logged, some are followed by another.

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
from app.settings import Settings
from app.telemetry import Metrics

logger = logging.getLogger("app.upstream")

BASE_S = 0.5
BURST_BASE_S = 2.0
"""After a throttle of the burst rate, which asks for a slower ramp."""
CAP_S = 8.0
"""Longest pause of our own, as in the official SDKs."""


class Attempts:
    """Runs the attempts of one call under UPSTREAM_RETRIES and UPSTREAM_RETRY_TOTAL_S."""

    def __init__(self, call: UpstreamCall, settings: Settings, metrics: Metrics) -> None:
        self._call = call
        self._retries = settings.upstream_retries
        self._total_s = settings.upstream_retry_total_s
        self._metrics = metrics
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._number = 0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around one attempt: counts it, if its request was written, and logs its failure."""
        self._number += 1
        self._call.written = False
        result, written = "internal", False
        try:
            yield
            result = "ok"
        except ServiceError as error:
            result, written = error.code, error.upstream is not None
            # What the upstream refused was written, but cannot be billed.
            self._call.written = error.billed == "maybe"
            log_failure(error)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            result = "cancelled"
            raise
        finally:
            if written or self._call.written:
                self._metrics.upstream_calls.labels(result).inc()

    async def pause_after(self, error: ServiceError) -> None:
        """Wait before the next attempt; raises `error` if there is none."""
        elapsed_s = self._clock() - self._began
        wait_s = retry_wait_s(error, attempt=self._number)
        late = self._total_s and elapsed_s + wait_s > self._total_s
        if self._number > self._retries or late or not is_unserved(error):
            raise error
        self._metrics.upstream_retries.labels(error.code).inc()
        fields = {"attempt": self._number, "wait_s": wait_s, "elapsed_s": elapsed_s}
        logger.warning(
            "upstream call is retried", extra={"fields": {**fields, "reason": error.code}}
        )
        await asyncio.sleep(wait_s)


def is_unserved(error: ServiceError) -> bool:
    """Whether the request was never fully written, or was not served because of a rate limit."""
    unwritten = error.upstream is None
    return error.billed == "no" and (unwritten or isinstance(error, UpstreamRateLimited))


def retry_wait_s(error: ServiceError, *, attempt: int) -> float:
    """Seconds between `attempt` (from 1) and the next; a `Retry-After` is the least wait.

    Half of each pause is random, so that many callers do not come back at once.
    """
    code = (error.upstream and error.upstream.code) or ""
    base_s = BURST_BASE_S if "burstrate" in code.lower().replace("_", "") else BASE_S
    pause_s = min(base_s * 2.0 ** (attempt - 1), CAP_S) * random.uniform(0.5, 1)  # noqa: S311 - not for secrets
    return max(pause_s, error.retry_after_s or 0)


def log_failure(error: ServiceError) -> None:
    """Log why an attempt failed, without anything of the request."""
    upstream = asdict(error.upstream) if error.upstream else None
    fields = {"code": error.code, "detail": error.detail, "upstream": upstream}
    if error.__cause__:
        fields["cause"] = repr(error.__cause__)
    logger.warning("upstream call failed", extra={"fields": fields})
