"""One call in as many tries as it may take: each is counted, logged, and maybe repeated."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import asdict

from app.errors import ServiceError
from app.models import Event
from app.telemetry import Metrics
from app.upstream.answer import TERMINAL_EVENTS
from app.upstream.retry import Retry, RetryPolicy

Attempt = Callable[[], AsyncGenerator[Event, None]]

logger = logging.getLogger("app.upstream")


class Tries:
    """Runs attempts under one policy."""

    def __init__(
        self, policy: RetryPolicy, metrics: Metrics, *, random: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._metrics = metrics
        self._random = random

    async def stream(self, attempt: Attempt) -> AsyncGenerator[Event, None]:
        """The events of the first attempt that gives any; what it raises then, or at last."""
        clock = asyncio.get_running_loop().time
        began, number = clock(), 1
        while True:
            given = False
            try:
                async with aclosing(self._counted(attempt)) as events:
                    async for event in events:
                        given = True
                        yield event
            except ServiceError as error:
                wait_s = None if given else self._pause_s(error, number, clock() - began)
                if wait_s is None:
                    raise
            else:
                return
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

    async def _counted(self, attempt: Attempt) -> AsyncGenerator[Event, None]:
        """One attempt, counted by how it ended; a reader who leaves at the last event saw it."""
        result = "internal"
        try:
            async with aclosing(attempt()) as events:
                async for event in events:
                    if event.type in TERMINAL_EVENTS:
                        result = "ok"
                    yield event
        except ServiceError as error:
            result = error.code
            told = asdict(error.upstream) if error.upstream else None
            fields = {"code": result, "detail": error.detail, "upstream": told}
            logger.warning("upstream call failed", extra={"fields": fields})
            raise
        except (asyncio.CancelledError, GeneratorExit):
            result = "ok" if result == "ok" else "cancelled"
            raise
        finally:
            self._metrics.upstream_calls.labels(result).inc()
