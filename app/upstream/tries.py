"""One call in as many tries as it may take: each is counted, logged, and maybe repeated."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from app.errors import ServiceError
from app.telemetry import Metrics
from app.upstream.retry import Retry, RetryPolicy

Attempt = Callable[[Callable[[], None]], Awaitable[None]]
"""Does it once, and calls what it is handed when anything has come: from then on it is the last."""

logger = logging.getLogger("app.upstream")


class Tries:
    """Runs attempts under one policy."""

    def __init__(
        self, policy: RetryPolicy, metrics: Metrics, *, random: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._metrics = metrics
        self._random = random

    async def run(self, attempt: Attempt) -> None:
        """Attempt it until something has come; raises what the last attempt raises."""
        clock = asyncio.get_running_loop().time
        started_at, number, final = clock(), 1, False

        def begun() -> None:
            nonlocal final
            final = True

        while True:
            try:
                return await self._counted(attempt(begun))
            except ServiceError as error:
                elapsed_s = clock() - started_at
                wait_s = None if final else self._pause_s(error, number, elapsed_s)
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

    async def _counted(self, attempt: Awaitable[None]) -> None:
        """One attempt, counted by how it ended."""
        result = "internal"
        try:
            await attempt
            result = "ok"
        except ServiceError as error:
            result = error.code
            told = asdict(error.upstream) if error.upstream else None
            fields = {"code": result, "detail": error.detail, "upstream": told}
            logger.warning("upstream call failed", extra={"fields": fields})
            raise
        except asyncio.CancelledError:
            result = "cancelled"
            raise
        finally:
            self._metrics.upstream_calls.labels(result).inc()
