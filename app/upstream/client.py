"""The calls to DashScope's Responses API: streamed, in one piece, and look-ups."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import httpx

from app import errors
from app.errors import ServiceError
from app.models import Event, UpstreamCall
from app.settings import Settings
from app.telemetry import Metrics
from app.upstream.attempts import Attempts, CallDeadlines, timed_out
from app.upstream.failures import failure_in_body, failure_in_response
from app.upstream.stream import EventStreamReader, redacted
from app.upstream.transport import KEEPALIVE_S, Transport

WRITE_BYTES = 131_072  # A request's pieces: megabytes of images at once would block the loop.
REFUSAL_MAX_BYTES = 65_536  # How much of a refusal is read; documented ones have some 100 bytes.
STREAM, JSON = "text/event-stream", "application/json"
Stored = tuple[str, httpx.URL] | None  # Method and address, where a stored response is meant.


class UpstreamClient:
    """Calls the Responses API with the service's key. Connects when it is first used."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        key = settings.dashscope_api_key.get_secret_value()
        self._secret = key.encode()
        self._url = httpx.URL(f"{settings.base_url}/responses")
        self._headers = {
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {key}",
            "Content-Type": JSON,
            "Host": self._url.netloc.decode("ascii"),
            "User-Agent": "imagesearch-proxy",
        }
        self._timeouts_s = {"connect": settings.upstream_connect_timeout_s or None}
        self._http = httpx.AsyncClient(
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
        The payload, the parts of a JSON text, is emptied at the first event.
        """
        attempts = Attempts(call, self._settings, self._metrics)
        max_event_bytes = self._settings.upstream_max_event_bytes
        while True:
            try:
                async with self._attempt(attempts, payload, STREAM) as (response, deadlines):
                    reader = EventStreamReader(response.headers, self._secret, max_event_bytes)
                    async with aclosing(_chunks(response)) as chunks:
                        while not reader.over:
                            if events := await _next_events(reader, chunks, deadlines):
                                if payload:
                                    payload.clear()  # Images are large.
                                    deadlines.first_event()
                                yield events
                    if reader.error:
                        raise reader.error
                    response.extensions.get("expect_end", bool)()
                    return
            except ServiceError as error:
                if not payload:
                    raise
                await attempts.wait_or_raise(error)

    async def create(self, payload: Sequence[bytes], call: UpstreamCall) -> bytes:
        """The answer, as JSON text, to a payload that asks for no stream."""
        attempts = Attempts(call, self._settings, self._metrics)
        while True:
            try:
                return await self._answer(attempts, payload)
            except ServiceError as error:
                await attempts.wait_or_raise(error)

    async def fetch(self, method: str, path: str, params: Mapping[str, str]) -> bytes:
        """Ask about a stored response: JSON text, or `SearchNotFound`. Not retried."""
        attempts = Attempts(UpstreamCall(), self._settings, self._metrics)
        url = httpx.URL(self._settings.base_url + path, params=params)
        return await self._answer(attempts, (), stored=(method, url))

    async def _answer(
        self, attempts: Attempts, payload: Sequence[bytes], stored: Stored = None
    ) -> bytes:
        """The body of an answer in one piece, unless it reports a failure."""
        limit_bytes = self._settings.search_max_bytes
        async with self._attempt(attempts, payload, JSON, stored) as (response, deadlines):
            deadlines.first_event()
            answer = await self._body(response, deadlines, limit_bytes)
            if 0 < limit_bytes < len(answer):
                raise errors.UpstreamProtocol("The upstream's answer exceeds SEARCH_MAX_BYTES.")
            if error := failure_in_body(response.headers, answer, stored=bool(stored)):
                raise error
            return answer

    @asynccontextmanager
    async def _attempt(
        self, attempts: Attempts, payload: Sequence[bytes], accept: str, stored: Stored = None
    ) -> AsyncIterator[tuple[httpx.Response, CallDeadlines]]:
        """Send a request, by default for an answer; its response, if it is good."""
        method, url = stored or ("POST", self._url)
        about_body = {"Accept": accept, "Content-Length": str(sum(map(len, payload)))}
        # Not built by the client, which merges URL and headers anew each time: 5 % of a search.
        request = httpx.Request(
            method,
            url,
            headers=self._headers | about_body,
            stream=RequestBody(payload, attempts.call),
            extensions={"timeout": self._timeouts_s},
        )
        with attempts.attempt(streamed=bool(stored) or accept == STREAM) as deadlines:
            try:
                with deadlines:
                    response = await self._http.send(request, stream=True)
            except httpx.TransportError as exc:
                raise _unanswered(exc, written=attempts.call.written) from exc
            except ServiceError as timeout:
                timeout.billed = "maybe" if attempts.call.written else "no"
                raise
            async with aclosing(response):
                media_type = response.headers.get("content-type", "").lower()
                odd = accept == STREAM and not media_type.startswith(STREAM)
                if odd or not response.is_success:
                    refusal = await self._body(response, deadlines, REFUSAL_MAX_BYTES)
                    status, headers = response.status_code, response.headers
                    raise failure_in_response(status, headers, refusal, stored=bool(stored))
                yield response, deadlines

    async def _body(
        self, response: httpx.Response, deadlines: CallDeadlines, limit_bytes: int
    ) -> bytes:
        """A body, until it exceeds the limit (0: none). Of a refusal, a part may say enough."""
        body, chunks = bytearray(), _chunks(response)
        try:
            while not 0 < limit_bytes < len(body):
                with deadlines:
                    body += await anext(chunks)
        except StopAsyncIteration:
            pass
        except errors.UpstreamTimeout:
            if response.is_success:
                raise
        except httpx.TransportError as exc:
            if response.is_success:
                raise errors.UpstreamInterrupted("The upstream's answer ended early.") from exc
        return redacted(bytes(body), self._secret)


@dataclass(frozen=True, slots=True)
class RequestBody(httpx.AsyncByteStream):
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


async def _next_events(
    reader: EventStreamReader, chunks: AsyncIterator[bytes], deadlines: CallDeadlines
) -> list[Event]:
    """The events in what arrives next."""
    try:
        with deadlines:
            chunk = await anext(chunks, b"")
    except httpx.TransportError as exc:
        return reader.end(exc)
    return reader.feed(chunk) if chunk else reader.end()


def _unanswered(exc: httpx.TransportError, *, written: bool) -> ServiceError:
    """The error of a request that got no response."""
    if isinstance(exc, httpx.ConnectTimeout):
        return timed_out("connect", billed="no")
    if isinstance(exc, httpx.RemoteProtocolError) and written:
        return errors.UpstreamProtocol("The upstream's answer is not HTTP.")
    unsent = isinstance(exc, httpx.ConnectError | httpx.ProxyError | httpx.WriteError)
    detail = "The connection to the upstream failed before it answered."
    return errors.UpstreamUnavailable(detail, billed="maybe" if written and not unsent else "no")


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
