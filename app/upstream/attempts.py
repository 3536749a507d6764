"""The attempts of one upstream call: each is timed, counted and logged, some are repeated.

Only what cannot have been billed is tried again, before the first event: a request that was never
fully written, and one that the upstream says it did not serve.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

import httpx

from app import errors
from app.errors import Billed, ServiceError
from app.models import UpstreamCall
from app.settings import YEAR_S, Settings
from app.telemetry import Metrics
from app.upstream.failures import failure_in_response
from app.upstream.sse import redacted

logger = logging.getLogger("app.upstream")

STREAM = "text/event-stream"
BASE_S = 0.5
BURST_BASE_S = 2.0  # A throttle of the burst rate asks for a slower ramp.
CAP_S = 8.0  # Longest pause of our own, as in the official SDKs.
REFUSAL_MAX_BYTES = 65_536  # How much of a refusal is read; documented ones have some 100 bytes.
REFUSAL_S = 5.0  # How long it may take to come.
UNSENT = (httpx.ConnectTimeout, httpx.ConnectError, httpx.ProxyError, httpx.WriteError)
ENDED_EARLY = "The upstream's answer ended early."
Chunks = AsyncGenerator[bytes, None]


@dataclass(eq=False)
class Attempts:
    """Sends the request of one call, again if it must be, and bounds the time of its answer."""

    http: httpx.AsyncClient
    call: UpstreamCall
    settings: Settings
    metrics: Metrics
    is_lookup: bool = False  # Whether it asks about a stored answer, which is not repeated.

    def __post_init__(self) -> None:
        self._idle_s = self.settings.upstream_idle_timeout_s or YEAR_S
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._number = 0

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Around one attempt. After a failure that may be retried, wait and suppress it."""
        self._total = asyncio.timeout(self.settings.upstream_total_timeout_s or None)
        self._silence = asyncio.timeout(None)
        self._heard_at = 0.0
        self._number += 1
        self.call.written = self._answered = False
        error, result = None, "internal"
        try:
            async with self._total, self._silence, AsyncExitStack() as self._stack:
                yield
            result = "ok"
        except (TimeoutError, httpx.TransportError, ServiceError) as exc:
            error = exc if isinstance(exc, ServiceError) else self._broken(exc)
            if error is not exc:
                error.__cause__ = exc
            result, self.call.written = error.code, error.billed == "maybe"
            _log("upstream call failed", error, detail=error.detail)
        except (asyncio.CancelledError, GeneratorExit):
            result = "cancelled"
            raise
        finally:
            if self.call.written or (error and error.upstream):
                self.metrics.upstream_calls.labels(result).inc()
        if error:
            await self._wait_or_raise(error)

    async def send(self, request: httpx.Request) -> tuple[httpx.Response, Chunks]:
        """A good response and its bytes as they come. An answer in one piece may take long."""
        streamed = request.headers["accept"] == STREAM
        first_event_s = self.settings.upstream_first_event_timeout_s
        if first_event_s and (streamed or self.is_lookup):
            self._silence.reschedule(self._clock() + first_event_s)
        response = await self.http.send(request, stream=True)
        self._stack.push_async_callback(response.aclose)
        # An id of the request is shown to callers.
        headers = response.headers.raw
        response.headers = httpx.Headers([(name, self._redacted(one)) for name, one in headers])
        # By a generator that can be closed; `aiter_raw` leaves one inside.
        chunks: Chunks = aiter(cast("Any", response.stream))
        self._stack.push_async_callback(chunks.aclose)
        media_type = response.headers.get("content-type", "").lower()
        if not response.is_success or (streamed and not media_type.startswith(STREAM)):
            for deadline in (self._silence, self._total):
                deadline.reschedule(None)  # A refusal has its own.
            raise await self._refusal(response, chunks)
        self.call.written = self._answered = True  # Whatever was sent: it is being served.
        if not streamed:
            self.heard()
        return response, chunks

    def heard(self) -> None:
        """Events have come: from now on, silence is bounded, to a hundredth."""
        now = self._clock()
        # To move the deadline takes 4 µs, a twentieth of an event.
        if not self._heard_at or now > self._heard_at + self._idle_s / 100:
            self._heard_at = now
            self._silence.reschedule(now + self._idle_s)

    async def _wait_or_raise(self, error: ServiceError) -> None:
        """Sleep before the next attempt, or raise `error` if it must not be repeated."""
        code = error.upstream.code if error.upstream else None
        base_s = BURST_BASE_S if "burstrate" in (code or "").lower().replace("_", "") else BASE_S
        # Half is random: not all callers come back at once.
        jitter = random.uniform(0.5, 1)  # noqa: S311 - nothing is kept secret by it
        wait_s = min(base_s * 2.0 ** (self._number - 1), CAP_S) * jitter
        wait_s = max(wait_s, error.retry_after_s or 0)
        late = 0 < self.settings.upstream_retry_total_s < self._clock() - self._began + wait_s
        unserved = error.upstream is None or isinstance(error, errors.UpstreamRateLimited)
        last = self.is_lookup or self._number > self.settings.upstream_retries
        if last or late or error.billed == "maybe" or not unserved:
            raise error
        self.metrics.upstream_retries.labels(error.code).inc()
        known = {"attempt": self._number, "wait_s": wait_s}
        _log("upstream call is retried", error, **known)
        self.call.span.add_event("retry", {"error.type": error.code, **known})
        await asyncio.sleep(wait_s)

    async def _refusal(self, response: httpx.Response, chunks: Chunks) -> ServiceError:
        """The error in a response; where it is cut off, a part and a bad status say enough."""
        refusal = bytearray()
        try:
            async with asyncio.timeout(REFUSAL_S):
                async for chunk in chunks:
                    refusal += chunk
                    if len(refusal) > REFUSAL_MAX_BYTES:
                        break
        except (TimeoutError, httpx.TransportError) as exc:
            if response.is_success:
                raise errors.UpstreamInterrupted(ENDED_EARLY) from exc
        body, status = self._redacted(bytes(refusal)), response.status_code
        return failure_in_response(status, response.headers, body, is_lookup=self.is_lookup)

    def _redacted(self, data: bytes) -> bytes:
        return redacted(data, self.settings.dashscope_api_key.get_secret_value().encode())

    def _broken(self, exc: Exception) -> ServiceError:
        """The error of a request that exceeded a time-out, or got no response, or not all of it."""
        unsent = isinstance(exc, UNSENT)
        billed: Billed = "maybe" if self.call.written and not unsent else "no"
        if isinstance(exc, TimeoutError | httpx.ConnectTimeout):
            silent = "idle" if self._heard_at else "first event"
            phase = "connect" if unsent else "total" if self._total.expired() else silent
            detail = f"The upstream exceeded the {phase} time-out."
            return errors.UpstreamTimeout(detail, billed=billed)
        if self._answered:
            return errors.UpstreamInterrupted(ENDED_EARLY)
        if billed == "maybe" and isinstance(exc, httpx.RemoteProtocolError):
            return errors.UpstreamProtocol("The upstream's answer is not HTTP.")
        detail = "The connection to the upstream failed before it answered."
        return errors.UpstreamUnavailable(detail, billed=billed)


def _log(event: str, error: ServiceError, **fields: object) -> None:
    """Log a failure, without anything of the request."""
    cause = repr(error.__cause__) if error.__cause__ else None
    upstream = asdict(error.upstream) if error.upstream else None
    known = {"code": error.code, **fields, "upstream": upstream, "cause": cause}
    logger.warning(event, extra={"fields": known})
