"""The calls to DashScope's Responses API: streamed, in one piece, and look-ups."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from app.errors import (
    Billed,
    SearchNotFound,
    ServiceError,
    UpstreamInterrupted,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.models import Event, UpstreamCall
from app.settings import Settings
from app.telemetry import Metrics
from app.upstream.deadlines import CallDeadlines, timed_out
from app.upstream.error_table import EARLIER_RESPONSE
from app.upstream.failures import failure_in_body, failure_in_response
from app.upstream.retry import Attempts
from app.upstream.stream import EventStreamReader, redacted
from app.upstream.transport import KEEPALIVE_S, Transport

WRITE_BYTES = 131_072
"""A request is written in such pieces, so that megabytes of images do not block the loop."""
REFUSAL_MAX_BYTES = 65_536
"""How much of a refusal's body is read; documented ones have some hundred bytes."""
STREAM, JSON = "text/event-stream", "application/json"
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.WriteError)
"""After these, the request was not fully written."""


class UpstreamClient:
    """Calls the Responses API with the service's key. Connects when it is first used."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._key = settings.dashscope_api_key.get_secret_value()
        self._http = httpx.AsyncClient(
            base_url=settings.base_url,
            transport=make_transport(settings),
            headers={
                "Accept-Encoding": "identity",
                "Authorization": f"Bearer {self._key}",
                "User-Agent": "imagesearch-proxy",
            },
            timeout=httpx.Timeout(None, connect=settings.upstream_connect_timeout_s or None),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def stream(
        self, payload: list[bytes], call: UpstreamCall
    ) -> AsyncGenerator[list[Event], None]:
        """Yield the upstream's events, those that arrived together at once.

        Returns after a `response.completed` or `response.incomplete`. The payload, the parts of a
        JSON text, is emptied at the first event: an answer takes a minute, and images are large.

        Raises:
            ServiceError: For every other end, after the events before it.
        """
        attempts, body = Attempts(call, self._settings, self._metrics), RequestBody(payload, call)
        while True:
            try:
                async with self._attempt(attempts, body, accept=STREAM) as (response, deadlines):
                    reader = await self._reader(response, deadlines)
                    chunks = response.aiter_raw()
                    while not reader.over:
                        if events := await next_events(reader, chunks, deadlines):
                            payload.clear()
                            deadlines.first_event()
                            yield events
                    if reader.error:
                        raise reader.error
                    response.extensions.get("expect_end", bool)()
            except ServiceError as error:
                if not payload:
                    raise
                await attempts.pause_after(error)
            else:
                return

    async def create(self, payload: list[bytes], call: UpstreamCall) -> bytes:
        """The answer, as JSON text, to a payload that asks for no stream; then that is emptied."""
        attempts, body = Attempts(call, self._settings, self._metrics), RequestBody(payload, call)
        while True:
            try:
                async with self._attempt(attempts, body) as (response, deadlines):
                    answer = await self._answer(response, deadlines, stored=False)
            except ServiceError as error:
                await attempts.pause_after(error)
            else:
                payload.clear()
                return answer

    async def fetch(self, method: str, path: str, params: Mapping[str, str]) -> bytes:
        """What the upstream says of a stored response, as JSON text. Not retried.

        Raises:
            SearchNotFound: There is no such response.
            ServiceError: For every other failure.
        """
        call = UpstreamCall()
        attempts, body = Attempts(call, self._settings, self._metrics), RequestBody((), call)
        sent = self._attempt(attempts, body, method=method, path=path, params=params)
        async with sent as (response, deadlines):
            try:
                return await self._answer(response, deadlines, stored=True)
            except ServiceError as error:
                unknown = any(one.field == EARLIER_RESPONSE for one in error.fields)
                if unknown or response.status_code == httpx.codes.NOT_FOUND:
                    detail = "No such response, or it is no longer kept."
                    raise SearchNotFound(detail, upstream=error.upstream) from error
                raise

    @asynccontextmanager
    async def _attempt(
        self,
        attempts: Attempts,
        body: "RequestBody",
        *,
        method: str = "POST",
        path: str = "/responses",
        params: Mapping[str, str] | None = None,
        accept: str = JSON,
    ) -> AsyncIterator[tuple[httpx.Response, CallDeadlines]]:
        """Send a request, and give its response, whose body is to be read."""
        # Without a stream, nothing is heard before the answer is complete.
        deadlines = CallDeadlines(self._settings, streamed=accept == STREAM or method != "POST")
        headers = {"Accept": accept, "Content-Length": str(len(body)), "Content-Type": JSON}
        sent = self._http.stream(method, path, params=params, headers=headers, content=body)
        async with AsyncExitStack() as stack:
            stack.enter_context(attempts.attempt())
            stack.callback(deadlines.close)
            try:
                with deadlines:
                    response = await stack.enter_async_context(sent)
            except httpx.TransportError as exc:
                raise unanswered(exc, body.call) from exc
            except ServiceError as timeout:
                timeout.billed = "maybe" if body.call.written else "no"
                raise
            yield response, deadlines

    async def _reader(
        self, response: httpx.Response, deadlines: CallDeadlines
    ) -> EventStreamReader:
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not response.is_success or media_type != STREAM:
            raise await self._refusal(response, deadlines)
        limit_bytes = self._settings.upstream_max_event_bytes
        return EventStreamReader(response.headers, self._key.encode(), limit_bytes)

    async def _answer(
        self, response: httpx.Response, deadlines: CallDeadlines, *, stored: bool
    ) -> bytes:
        """The body of an answer in one piece, unless it reports a failure."""
        if not response.is_success:
            raise await self._refusal(response, deadlines)
        deadlines.first_event()
        limit_bytes = self._settings.search_max_bytes
        answer = await self._body(response, deadlines, limit_bytes)
        if 0 < limit_bytes < len(answer):
            raise UpstreamProtocol("The upstream's answer exceeds SEARCH_MAX_BYTES.")
        if error := failure_in_body(response.headers, answer, stored=stored):
            raise error
        return answer

    async def _refusal(self, response: httpx.Response, deadlines: CallDeadlines) -> ServiceError:
        body = await self._body(response, deadlines, REFUSAL_MAX_BYTES)
        return failure_in_response(response.status_code, response.headers, body)

    async def _body(
        self, response: httpx.Response, deadlines: CallDeadlines, limit_bytes: int
    ) -> bytes:
        """A body, until it exceeds the limit (0: none). Of a refusal, a part may say enough."""
        body, chunks = bytearray(), response.aiter_raw()
        try:
            while not 0 < limit_bytes < len(body):
                with deadlines:
                    body += await anext(chunks)
        except StopAsyncIteration:
            pass
        except UpstreamTimeout:
            if response.is_success:
                raise
        except httpx.TransportError as exc:
            if response.is_success:
                raise UpstreamInterrupted("The upstream's answer ended early.") from exc
        return redacted(bytes(body), self._key.encode())


class RequestBody:
    """A payload as httpx sends it; it can be sent again. Notes when all of it was written."""

    def __init__(self, payload: Sequence[bytes], call: UpstreamCall) -> None:
        self.call = call
        self._payload = payload

    def __len__(self) -> int:
        return sum(map(len, self._payload))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        piece = bytearray()
        for part in self._payload:
            for start in range(0, len(part), WRITE_BYTES):
                piece += part[start : start + WRITE_BYTES]
                if len(piece) >= WRITE_BYTES:
                    yield bytes(piece)
                    piece.clear()
        yield bytes(piece)
        # A transport comes back for more when the last piece was written.
        self.call.written = True


async def next_events(
    reader: EventStreamReader, chunks: AsyncIterator[bytes], deadlines: CallDeadlines
) -> list[Event]:
    """The events in what arrives next."""
    try:
        with deadlines:
            chunk = await anext(chunks, b"")
    except httpx.TransportError as exc:
        events = reader.end()
        if reader.error:
            reader.error.__cause__ = exc
        return events
    return reader.feed(chunk) if chunk else reader.end()


def unanswered(exc: httpx.TransportError, call: UpstreamCall) -> ServiceError:
    """The error of a request that got no response."""
    billed: Billed = "maybe" if call.written and not isinstance(exc, UNSENT) else "no"
    match exc:
        case httpx.ConnectTimeout():
            return timed_out("connect", billed=billed)
        case httpx.ConnectError() | httpx.ProxyError():
            detail = "No connection to the upstream could be made."
        case httpx.RemoteProtocolError():
            return UpstreamProtocol("The upstream's answer is not HTTP.", billed=billed)
        case _:
            detail = "The connection broke before the upstream answered."
    return UpstreamUnavailable(detail, billed=billed)


def make_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """Our own transport; with UPSTREAM_PROXY httpx's, which knows proxies."""
    if settings.upstream_ca_file:
        tls = ssl.create_default_context(cafile=settings.upstream_ca_file)
    else:
        tls = httpx.create_ssl_context(trust_env=False)
    if proxy := settings.upstream_proxy.get_secret_value():
        limits = httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_S)
        return httpx.AsyncHTTPTransport(verify=tls, proxy=proxy, limits=limits, trust_env=False)
    return Transport(tls)
