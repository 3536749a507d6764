"""One call in as many tries as it may take: each is counted, logged, and maybe repeated."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TypeVar

from app.errors import ServiceError
from app.telemetry import Metrics
from app.upstream.retry import Retry, RetryPolicy

T = TypeVar("T")

logger = logging.getLogger("app.upstream")


class Tries:
    """Runs attempts under one policy."""

    def __init__(
        self, policy: RetryPolicy, metrics: Metrics, *, random: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._metrics = metrics
        self._random = random

    async def run(self, attempt: Callable[[], Awaitable[T]], *, again: Callable[[], bool]) -> T:
        """Attempt it until it is done, or may not be done `again`; raises as the last attempt."""
        clock = asyncio.get_running_loop().time
        began, number = clock(), 1
        while True:
            try:
                return await self._counted(attempt())
            except ServiceError as error:
                wait_s = self._pause_s(error, number, clock() - began) if again() else None
                if wait_s is None:
                    raise
            await asyncio.sleep(wait_s)
            number += 1

    def _pause_s(self, error: ServiceError, number: int, elapsed_s: float) -> float | None:
        """Seconds until the next attempt, noted; `None` when there is none."""
        wait_s = self._policy.wait_s(
            error, attempt=number, elapsed_s=elapsed_s, random=self._random
        )
        if wait_s is not None:
            self._metrics.upstream_retries.labels(error.code).inc()
            retry = Retry(number, wait_s, elapsed_s, error.code)
            logger.warning("upstream call is tried again", extra={"fields": asdict(retry)})
        return wait_s

    async def _counted(self, attempt: Awaitable[T]) -> T:
        """One attempt, counted by how it ended."""
        result = "internal"
        try:
            found = await attempt
            result = "ok"
        except ServiceError as error:
            result = error.code
            told = asdict(error.upstream) if error.upstream else None
            fields = {"code": result, "detail": error.detail, "upstream": told}
            if cause := error.__cause__:
                # Of the connection, so it holds nothing of what was said on it.
                fields["cause"] = repr(cause)
            logger.warning("upstream call failed", extra={"fields": fields})
            raise
        except asyncio.CancelledError:
            result = "cancelled"
            raise
        finally:
            self._metrics.upstream_calls.labels(result).inc()
        return found
