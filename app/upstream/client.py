"""The call to DashScope: one streaming POST, its time-outs, its retries, its end.

How a call ends::

    completed, incomplete   the last event is handed down, then the call returns
    response.failed, error  not handed down, but raised as the error that it tells
    anything else           raised as what went wrong on the way

Nothing but this and what is under it knows httpx.
"""

import logging
import random as chance
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, closing
from functools import partial
from typing import Any

import httpx

from app.errors import (
    InvalidRequest,
    SearchNotFound,
    ServiceError,
    UpstreamProtocol,
    UpstreamTimeout,
)
from app.models import Emit
from app.settings import Settings
from app.telemetry import Metrics
from app.upstream.broken import unanswered, unread
from app.upstream.failures import from_response, from_whole
from app.upstream.patience import Patience
from app.upstream.reading import Reading, redacted
from app.upstream.retry import RetryPolicy
from app.upstream.sse import Heads
from app.upstream.transport import Reply, address, timeouts
from app.upstream.tries import Tries
from app.upstream.verdicts import EARLIER

logger = logging.getLogger("app.upstream")

WRITE_BYTES = 131_072
"""A request is written in such pieces, so that megabytes of image do not hold the loop."""
REFUSAL_MAX_BYTES = 65_536
"""As much is read of a refusal's body; documented ones have some hundred bytes."""
STREAM, JSON = "text/event-stream", "application/json"
HTTP_REFUSED, HTTP_NOT_FOUND = 300, 404
NOT_KEPT = "No such response, or it is no longer kept."
BROKEN = httpx.TransportError
"""What a bad connection raises."""


class Upstream:
    """Calls the Responses API with the service's key."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        settings: Settings,
        metrics: Metrics,
        *,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._key = settings.dashscope_api_key.get_secret_value().encode()
        self._url = address(settings)
        self._timeouts = timeouts(settings)
        self._heads: Heads = {}
        self._headers = {
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {self._key.decode()}",
            "User-Agent": "imagesearch-proxy",
        }
        policy = RetryPolicy(settings.upstream_retries, settings.upstream_retry_total_s)
        self._tries = Tries(policy, metrics, random=random)

    async def relay(self, payload: list[bytes], emit: Emit) -> None:
        """Hand down the upstream's events, the last `response.completed` or `…incomplete`.

        The payload, in parts, is emptied as soon as it cannot be needed again: at the first
        event. An answer takes a minute, and a picture megabytes.

        Cancelling it closes the call at once. What `emit` raises ends the call and is raised.

        Raises:
            ServiceError: For every other end, with `told_by` where an event told it.
        """
        await self._tries.run(partial(self._attempt, payload, emit), again=lambda: bool(payload))

    async def complete(self, payload: list[bytes]) -> bytes:
        """The upstream's whole answer as JSON text, to a payload that asks for no stream.

        The payload is emptied when the answer has come; see `relay` for it and for errors.
        """
        attempt = partial(self._attempt_whole, payload)
        return await self._tries.run(attempt, again=lambda: bool(payload))

    async def fetch(self, method: str, path: str, query: Mapping[str, str]) -> bytes:
        """What the upstream says of an answer that it keeps, as JSON text; asked once.

        Raises:
            SearchNotFound: It keeps no such answer.
            ServiceError: For every other refusal, or without a reply.
        """
        url = httpx.URL(f"{self._settings.base_url}{path}", params=query)
        request = self._request(method, url, {"Accept": JSON})
        return await self._tries.run(partial(self._attempt_fetch, request), again=lambda: False)

    async def _attempt_fetch(self, request: httpx.Request) -> bytes:
        with closing(self._patience(self._settings.upstream_first_event_timeout_s)) as patience:
            async with aclosing(await self._send(request, patience)) as reply:
                if reply.status == HTTP_NOT_FOUND:
                    raise SearchNotFound(NOT_KEPT)
                try:
                    return await self._whole(reply, patience, stored=True)
                except InvalidRequest as exc:
                    if any(one.field == EARLIER for one in exc.fields):
                        raise SearchNotFound(NOT_KEPT) from exc
                    raise

    async def _attempt_whole(self, payload: list[bytes]) -> bytes:
        # Nothing is heard before the answer is made: only its total time is bounded.
        with closing(self._patience(0)) as patience:
            async with aclosing(await self._post(payload, patience, accept=JSON)) as reply:
                body = await self._whole(reply, patience, stored=False)
        payload.clear()
        return body

    async def _attempt(self, payload: list[bytes], emit: Emit) -> None:
        first_event_s = self._settings.upstream_first_event_timeout_s
        with closing(self._patience(first_event_s)) as patience:
            async with aclosing(await self._post(payload, patience, accept=STREAM)) as reply:
                if not _is_event_stream(reply):
                    raise await self._refusal(reply, patience)
                reading = Reading(
                    max_event_bytes=self._settings.upstream_max_event_bytes,
                    headers=reply.headers,
                    secret=self._key,
                    heads=self._heads,
                )

                def take(chunk: bytes) -> bool:
                    if events := reading.feed(chunk):
                        payload.clear()
                        emit(events)
                    if reading.opened:
                        patience.idle()
                    return not reading.over

                with patience.first():
                    try:
                        await reply.pour(take)
                    except BROKEN as exc:
                        fields = {"cause": repr(exc)}
                        logger.warning("upstream connection broke", extra={"fields": fields})
                if not reading.over and (events := reading.end()):
                    payload.clear()
                    emit(events)
                if not reading.ended:
                    raise reading.error or reading.broken()
                reply.enough()

    def _patience(self, first_event_s: float) -> Patience:
        settings = self._settings
        return Patience(
            first_event_s=first_event_s,
            idle_s=settings.upstream_idle_timeout_s,
            total_s=settings.upstream_total_timeout_s,
        )

    def _request(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], **content: Any
    ) -> httpx.Request:
        return httpx.Request(
            method,
            url,
            # Told its encoding, or httpx looks for it whenever they are read.
            headers=httpx.Headers({**self._headers, **headers}, encoding="ascii"),
            extensions={"timeout": self._timeouts},
            **content,
        )

    async def _post(self, payload: list[bytes], patience: Patience, *, accept: str) -> Reply:
        n_bytes = sum(map(len, payload))
        content = b"".join(payload) if n_bytes <= WRITE_BYTES else _pieces(payload)
        headers = {"Accept": accept, "Content-Length": str(n_bytes), "Content-Type": JSON}
        request = self._request("POST", self._url, headers, content=content)
        return await self._send(request, patience)

    async def _send(self, request: httpx.Request, patience: Patience) -> Reply:
        """Write the request and wait for the response's head."""
        try:
            with patience.first():
                return Reply(await self._transport.handle_async_request(request))
        except BROKEN as exc:
            raise unanswered(exc) from exc

    async def _whole(self, reply: Reply, patience: Patience, *, stored: bool) -> bytes:
        """The body of an answer that is one JSON object, or the failure that it tells."""
        if not reply.is_success:
            raise await self._refusal(reply, patience)
        body, most = bytearray(), self._settings.search_max_bytes
        read = reply.read
        try:
            with patience.idle():
                while chunk := await read():
                    body += chunk
                    if 0 < most < len(body):
                        raise UpstreamProtocol("The upstream's answer is over SEARCH_MAX_BYTES.")
                    patience.idle()
        except BROKEN as exc:
            raise unread(exc) from exc
        shown = redacted(bytes(body), self._key)
        if error := from_whole(reply.headers, shown, stored=stored):
            raise error
        return shown

    async def _refusal(self, reply: Reply, patience: Patience) -> ServiceError:
        """What a response that is no event stream says; half of its body may say enough."""
        body, read = b"", reply.read
        try:
            with patience.first():
                while len(body) < REFUSAL_MAX_BYTES and (chunk := await read()):
                    body += chunk
        except (BROKEN, UpstreamTimeout) as exc:
            if reply.status < HTTP_REFUSED:
                raise unread(exc) from exc
        return from_response(reply.status, reply.headers, redacted(body, self._key))


async def _pieces(payload: list[bytes]) -> AsyncIterator[bytes | memoryview]:
    """The payload, its small parts together, its large ones cut without a copy."""
    small = b""
    for part in payload:
        if len(small) + len(part) <= WRITE_BYTES:
            small += part
            continue
        yield small
        small = b""
        view = memoryview(part)
        for start in range(0, len(part), WRITE_BYTES):
            yield view[start : start + WRITE_BYTES]
    yield small


def _is_event_stream(reply: Reply) -> bool:
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    return reply.is_success and kind == STREAM
