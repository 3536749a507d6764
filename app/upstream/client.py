"""The calls to DashScope's Responses API: streamed, in one piece, and look-ups."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import httpx

from app import errors
from app.errors import Billed, ServiceError
from app.models import Event, UpstreamCall
from app.settings import Settings
from app.telemetry import Metrics
from app.upstream.attempts import Attempts
from app.upstream.failures import failure_in_body, failure_in_response
from app.upstream.sse import EventStreamReader, redacted
from app.upstream.transport import KEEPALIVE_S, Transport

WRITE_BYTES = 131_072  # A request's pieces: megabytes of images at once would block the loop.
REFUSAL_MAX_BYTES = 65_536  # How much of a refusal is read; documented ones have some 100 bytes.
REFUSAL_S = 5.0  # How long it may take to come.
ENDED_EARLY = "The upstream's answer ended early."
STREAM, JSON = "text/event-stream", "application/json"


class UpstreamClient:
    """Calls the Responses API with the service's key. Connects when it is first used."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        key = settings.dashscope_api_key.get_secret_value()
        self._secret = key.encode()
        self._http = httpx.AsyncClient(
            base_url=settings.base_url,
            headers={
                "Accept": JSON,
                "Accept-Encoding": "identity",
                "Authorization": f"Bearer {key}",
                "Content-Type": JSON,
                "User-Agent": "imagesearch-proxy",
            },
            timeout=httpx.Timeout(None, connect=settings.upstream_connect_timeout_s or None),
            transport=_transport(settings),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            trust_env=False,
        )
        self.aclose = self._http.aclose

    async def stream(
        self, payload: list[bytes], call: UpstreamCall
    ) -> AsyncGenerator[list[Event], None]:
        """Yield the upstream's events, those that arrived together at once.

        Raises a `ServiceError` for every end but `response.completed` and `response.incomplete`.
        The payload, the parts of a JSON text, is emptied at the first event. The deadlines bound
        the caller's own waits between two events too; there are none in a run.
        """
        attempts = Attempts(call, self._settings, self._metrics)
        request = self._request("POST", "/responses", payload, call, accept=STREAM)
        while True:
            try:
                async with (
                    self._attempt(attempts, request) as response,
                    aclosing(_chunks(response)) as chunks,
                ):
                    limit_bytes = self._settings.upstream_max_event_bytes
                    reader = EventStreamReader(response.headers, self._secret, limit_bytes)
                    while not reader.over:
                        try:
                            chunk = await anext(chunks, b"")
                            events = reader.feed(chunk) if chunk else reader.end()
                        except httpx.TransportError as exc:
                            events = reader.end(exc)
                        if events:
                            payload.clear()  # Images are large.
                            attempts.heard()
                            yield events
                    if reader.error:
                        raise reader.error
                    response.extensions.get("expect_end", bool)()
                    return
            except ServiceError as error:
                await attempts.wait_or_raise(error)

    async def create(self, payload: Sequence[bytes], call: UpstreamCall) -> bytes:
        """The answer, as JSON text, to a payload that asks for no stream."""
        return await self._answer(self._request("POST", "/responses", payload, call), call)

    async def fetch(self, method: str, path: str, params: Mapping[str, str]) -> bytes:
        """Ask about a stored response: JSON text, or `SearchNotFound`. Not retried."""
        call = UpstreamCall()
        request = self._request(method, path, (), call, params=params)
        return await self._answer(request, call, stored=True)

    def _request(
        self,
        method: str,
        path: str,
        payload: Sequence[bytes],
        call: UpstreamCall,
        *,
        accept: str = JSON,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        """A request that can be sent again."""
        headers = {"Accept": accept, "Content-Length": str(sum(map(len, payload)))}
        body = RequestBody(payload, call)
        return self._http.build_request(method, path, params=params, headers=headers, content=body)

    async def _answer(
        self, request: httpx.Request, call: UpstreamCall, *, stored: bool = False
    ) -> bytes:
        """The body of an answer in one piece, unless it reports a failure."""
        attempts = Attempts(call, self._settings, self._metrics)
        limit_bytes = self._settings.search_max_bytes
        while True:
            try:
                async with self._attempt(attempts, request, stored=stored) as response:
                    answer = bytearray()
                    async for chunk in self._body(response, limit_bytes):
                        attempts.heard()
                        answer += chunk
                    if 0 < limit_bytes < len(answer):
                        raise errors.UpstreamProtocol(
                            "The upstream's answer exceeds SEARCH_MAX_BYTES."
                        )
                    text = redacted(bytes(answer), self._secret)
                    if failure := failure_in_body(response.headers, text, stored=stored):
                        raise failure
                    return text
            except ServiceError as error:
                if stored:
                    raise
                await attempts.wait_or_raise(error)

    @asynccontextmanager
    async def _attempt(
        self, attempts: Attempts, request: httpx.Request, *, stored: bool = False
    ) -> AsyncIterator[httpx.Response]:
        """Send a request; its response, if it is good. An answer in one piece may take long."""
        streamed = request.headers["accept"] == STREAM
        with attempts.attempt(streamed=streamed or stored):
            try:
                async with (
                    attempts.timeout,
                    aclosing(await self._http.send(request, stream=True)) as response,
                ):
                    status, headers = response.status_code, response.headers
                    media_type = headers.get("content-type", "").lower()
                    if not response.is_success or (streamed and not media_type.startswith(STREAM)):
                        attempts.timeout.reschedule(None)
                        refusal = await self._refusal(response)
                        raise failure_in_response(status, headers, refusal, stored=stored)
                    attempts.call.written = True  # Whatever was sent: it is being served.
                    if not streamed:
                        attempts.heard()
                    yield response
            except (TimeoutError, httpx.TransportError) as exc:
                raise _unanswered(exc, attempts) from exc

    async def _refusal(self, response: httpx.Response) -> bytes:
        """The body of a refusal; where it is cut off, a part and a bad status say enough."""
        refusal = bytearray()
        try:
            async with asyncio.timeout(REFUSAL_S):
                async for chunk in self._body(response, REFUSAL_MAX_BYTES):
                    refusal += chunk
        except (TimeoutError, errors.UpstreamInterrupted) as exc:
            if response.is_success:
                raise errors.UpstreamInterrupted(ENDED_EARLY) from exc
        return redacted(bytes(refusal), self._secret)

    async def _body(
        self, response: httpx.Response, limit_bytes: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield a body, until it exceeds the limit (0: none)."""
        n_bytes, chunks = 0, _chunks(response)
        try:
            while not 0 < limit_bytes < n_bytes and (chunk := await anext(chunks, b"")):
                n_bytes += len(chunk)
                yield chunk
        except httpx.TransportError as exc:
            raise errors.UpstreamInterrupted(ENDED_EARLY) from exc


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A payload as httpx sends it; it can be sent again. Notes when all of it was written."""

    payload: Sequence[bytes]
    call: UpstreamCall

    async def __aiter__(self) -> AsyncIterator[bytes]:
        small = sum(map(len, self.payload)) <= WRITE_BYTES
        for part in [b"".join(self.payload)] if small else self.payload:
            for start in range(0, len(part) or 1, WRITE_BYTES):
                yield part[start : start + WRITE_BYTES]
        # A transport comes back for more when the last piece was written.
        self.call.written = True


def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The bytes as they come, by a generator that can be closed; `aiter_raw` leaves one inside."""
    chunks: AsyncGenerator[bytes, None] = aiter(cast("Any", response.stream))
    return chunks


def _unanswered(exc: Exception, attempts: Attempts) -> ServiceError:
    """The error of a request that exceeded a time-out, or got no response."""
    unsent = isinstance(
        exc, httpx.ConnectTimeout | httpx.ConnectError | httpx.ProxyError | httpx.WriteError
    )
    billed: Billed = "maybe" if attempts.call.written and not unsent else "no"
    if isinstance(exc, TimeoutError | httpx.ConnectTimeout):
        phase = "connect" if unsent else attempts.phase
        return errors.UpstreamTimeout(f"The upstream exceeded the {phase} time-out.", billed=billed)
    if billed == "maybe" and isinstance(exc, httpx.RemoteProtocolError):
        return errors.UpstreamProtocol("The upstream's answer is not HTTP.")
    detail = "The connection to the upstream failed before it answered."
    return errors.UpstreamUnavailable(detail, billed=billed)


def _transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """Our own transport; with UPSTREAM_PROXY httpx's, which knows proxies."""
    if settings.upstream_ca_file:
        tls = ssl.create_default_context(cafile=settings.upstream_ca_file)
    else:
        tls = httpx.create_ssl_context(trust_env=False)
    if proxy := settings.upstream_proxy.get_secret_value():
        limits = httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_S)
        return httpx.AsyncHTTPTransport(verify=tls, proxy=proxy, limits=limits, trust_env=False)
    return Transport(tls)
