"""The calls to DashScope's Responses API: streamed, in one piece, and look-ups."""

import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from app import errors
from app.models import Event, ImageInput, ResponsesRequest, UpstreamCall, digest_of
from app.settings import Settings
from app.telemetry import Metrics
from app.upstream.attempts import STREAM, Attempts
from app.upstream.failures import failure_in_body
from app.upstream.sse import EventStreamReader, redacted
from app.upstream.transport import KEEPALIVE_S, Transport

WRITE_BYTES = 131_072  # A request's pieces: megabytes of images at once would block the loop.
JSON = "application/json"


class UpstreamClient:
    """Calls the Responses API with the service's key. Connects when it is first used."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        key = settings.dashscope_api_key.get_secret_value()
        self._secret = key.encode()
        if settings.upstream_ca_file:
            tls = ssl.create_default_context(cafile=settings.upstream_ca_file)
        else:
            tls = httpx.create_ssl_context(trust_env=False)
        transport: httpx.AsyncBaseTransport = Transport(tls)
        if proxy := settings.upstream_proxy.get_secret_value():  # Which httpx's own knows.
            limits = httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_S)
            transport = httpx.AsyncHTTPTransport(verify=tls, proxy=proxy, limits=limits)
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
            transport=transport,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            trust_env=False,
        )
        self.aclose = self._http.aclose

    async def stream(
        self, payload: list[bytes], call: UpstreamCall
    ) -> AsyncGenerator[list[Event], None]:
        """Yield the upstream's events, those that arrived together at once.

        Raises a `ServiceError` for every end but `response.completed` and `response.incomplete`.
        The payload, parts of a JSON text, is emptied at the first event. Deadlines never pause.
        """
        attempts = Attempts(self._http, call, self._settings, self._metrics)
        request = self._request("POST", "/responses", payload, call)
        request.headers["Accept"] = STREAM
        while True:  # A failure that may be retried is suppressed, and the next attempt follows.
            async with attempts.attempt():
                response, chunks = await attempts.send(request)
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
                if expect_end := response.extensions.get("expect_end"):
                    expect_end.set()
                return

    async def create(self, payload: Sequence[bytes], call: UpstreamCall) -> bytes:
        """The answer, as JSON text, to a payload that asks for no stream."""
        return await self._answer(self._request("POST", "/responses", payload, call), call)

    async def fetch(self, method: str, path: str, params: Mapping[str, str]) -> bytes:
        """Ask about a stored response: JSON text, or `SearchNotFound`. Not retried."""
        call = UpstreamCall()
        request = self._request(method, path, (), call, **params)
        return await self._answer(request, call, is_lookup=True)

    def _request(
        self, method: str, path: str, payload: Sequence[bytes], call: UpstreamCall, **params: str
    ) -> httpx.Request:
        """A request that can be sent again."""
        headers = {"Content-Length": str(sum(map(len, payload)))}
        body = RequestBody(payload, call)
        return self._http.build_request(method, path, params=params, headers=headers, content=body)

    async def _answer(
        self, request: httpx.Request, call: UpstreamCall, *, is_lookup: bool = False
    ) -> bytes:
        """The body of an answer in one piece, unless it reports a failure."""
        attempts = Attempts(self._http, call, self._settings, self._metrics, is_lookup=is_lookup)
        while True:  # A failure that may be retried is suppressed, and the next attempt follows.
            async with attempts.attempt():
                response, chunks = await attempts.send(request)
                answer = bytearray()
                async for chunk in chunks:
                    attempts.heard()
                    answer += chunk
                    if 0 < self._settings.search_max_bytes < len(answer):
                        raise errors.UpstreamProtocol("The answer exceeds SEARCH_MAX_BYTES.")
                text = redacted(bytes(answer), self._secret)
                if failure := failure_in_body(response.headers, text, is_lookup=is_lookup):
                    raise failure
                return text


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A payload as httpx sends it; it can be sent again. Notes when all of it was written."""

    payload: Sequence[bytes]
    call: UpstreamCall

    async def __aiter__(self) -> AsyncIterator[bytes]:
        small = sum(map(len, self.payload)) <= WRITE_BYTES
        parts = [b"".join(self.payload)] if small else self.payload
        for part in parts:
            for start in range(0, len(part) or 1, WRITE_BYTES):
                yield part[start : start + WRITE_BYTES]
        # A transport comes back for more when the last piece was written.
        self.call.written = True


def search_request(
    images: Sequence[ImageInput], prompt: str, *, thinking: bool, **options: Any
) -> ResponsesRequest:
    """A search as a request; `options` are members of it, left out where they are `None`."""
    content = json.dumps({"type": "input_text", "text": prompt})
    options |= {"tools": [{"type": "image_search"}], "stream": True}
    options["reasoning"] = None if thinking else {"effort": "none"}
    known = json.dumps({name: value for name, value in options.items() if value is not None})
    text = f'{{"input": [{{"role": "user", "content": [{content}'.encode()
    parts: list[bytes] = []
    for image in images:  # Megabytes of ASCII: parts of their own, so that they are not copied.
        parts.extend((text + b', {"type": "input_image", "image_url": "', image.url))
        text = b'"}'
    return ResponsesRequest(
        payload=[*parts, text + b"]}], " + known.removeprefix("{").encode()],
        model=options["model"],
        image_count=len(images),
        input_chars=len(prompt) + len(options["instructions"] or ""),
        max_output_tokens=options["max_output_tokens"],
        previous_response_id=options["previous_response_id"],
        digest=digest_of([image.digest for image in images], prompt, options),
        prompt=prompt,
    )
