"""Pure ASGI middleware around the routes; `app.main` has their order."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import errors, telemetry
from app.api.problems import path_of, problem_response, run_of
from app.errors import Overloaded, ServiceError
from app.settings import Settings
from app.tracing import Tracing, end_request

logger = logging.getLogger("app.access")

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
HOST = re.compile(r"(\[[\da-fA-F:.]+\]|[\w.-]*)(?::\d*)?", re.ASCII)
LOCAL = re.compile(r"[^.]*|.*\.localhost|\[.*\]|(\d{1,3}\.){3}\d{1,3}")
"""Names that lead here without DNS: the page of an attacker has one with a dot."""
QUERY = re.compile(r"[?&;=%]")  # Also one that was encoded, once or twice, as a part of the path.
HEAD_MAX_BYTES = 65_536

# Polled by machines every few seconds: logged at debug level, and found under any name.
QUIET_PATHS = ("/healthz", "/readyz", "/metrics")

SECURITY_HEADERS = {  # Responses are data: nothing in them may run, be framed or be kept.
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class CloseAfterAnswer:
    """Says `Connection: close` in every response but event streams and those to trusted proxies.

    uvicorn reads pipelined requests without bound while it answers; on a connection that is closed
    after the first response it drops them. A body that nobody read closes a proxy's too.
    """

    def __init__(self, app: ASGIApp, trusted_proxies: Sequence[str]) -> None:
        self.app = app
        self.trusted = [ip_network(network) for network in trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            scope["query_string"] = b""  # As below.
            await self.app(scope, receive, send)
            return
        unread, is_trusted = has_body(Headers(scope=scope)), False
        peer, *_ = scope.get("client") or ("",)
        with suppress(ValueError):  # Of a peer without an address.
            is_trusted = any(ip_address(peer) in network for network in self.trusted)

        async def receive_and_note() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                # It may hold a token: a server that logs requests by itself shall find none.
                scope["query_string"] = b""
                headers = MutableHeaders(scope=message)
                streamed = headers.get("content-type", "").startswith("text/event-stream")
                if not streamed and (unread or not is_trusted):
                    headers["Connection"] = "close"
            elif unread and not message.get("more_body"):
                await send({**message, "more_body": True})
                with suppress(TimeoutError):  # Bytes that nobody read would reset the connection.
                    async with asyncio.timeout(2):
                        while unread:
                            await receive_and_note()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self.app(scope, receive_and_note, send_and_close)


class RequestContext:
    """Gives each request an id and its response the headers of `state["headers"]`, and logs it.

    Dependencies cannot set headers by themselves where a route returns a `Response`. `root_path`
    is the path prefix of a proxy in front, whether that keeps it in the path or strips it.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: telemetry.Metrics, tracing: Tracing
    ) -> None:
        self.app, self.settings, self.metrics, self.tracing = app, settings, metrics, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope)
        given = sent.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        telemetry.request_id.set(request_id)
        telemetry.timing.set(timing := telemetry.Timing())
        span = self.tracing.begin_request(scope, sent.get("traceparent", ""))
        state = scope.get("state", {}) | {"headers": {"X-Request-ID": request_id}, "started": False}
        prefix = scope.get("root_path") or self.settings.root_path
        # Clients that join URLs may send two slashes. `uvicorn --root-path` puts the prefix in
        # front of one that the proxy has kept.
        path = re.sub("//+", "/", scope["path"])
        path = path.removeprefix(prefix) if path.startswith(f"{prefix}{prefix}/") else path
        scope = {**scope, "root_path": prefix, "path": path, "state": state}
        # As nginx logs a client that left before its response.
        status, started_at, stream_end = 499, time.perf_counter(), ""
        upload_s = 0.0

        async def receive_and_time() -> Message:
            nonlocal upload_s
            asked_at = time.perf_counter()
            message = await receive()
            if message["type"] == "http.request":
                upload_s += time.perf_counter() - asked_at
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status, stream_end
            if message["type"] == "http.response.start":
                status, state["started"] = message["status"], True
                headers, run = MutableHeaders(scope=message), run_of(scope)
                defaults = {n: v for n, v in SECURITY_HEADERS.items() if n not in headers}
                known = {"Server-Timing": str(timing), "X-Search-ID": run.id if run else ""}
                state["server_timing"] = known["Server-Timing"]
                headers.update(defaults | state["headers"] | {n: v for n, v in known.items() if v})
                if headers.get("content-type") == "text/event-stream":
                    stream_end = "cut"
                    self.metrics.head_s.observe(time.perf_counter() - started_at - upload_s)
            elif stream_end and not message.get("more_body"):
                stream_end = "ended"
            await send(message)

        try:
            await self._answer(scope, receive_and_time, send_with_headers)
        except ClientDisconnect:
            stream_end = "left" if stream_end == "cut" else stream_end
        finally:
            if stream_end:
                self.metrics.streams.labels(stream_end).inc()
            self._log(scope, status, time.perf_counter() - started_at)
            end_request(span, scope, status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Turn exceptions into responses inside CORS; Starlette's own handler is outside of it."""
        try:
            self._check_head(scope)
            await self.app(scope, receive, send)
        except ClientDisconnect:
            raise
        except ServiceError as exc:
            await problem_response(scope, exc)(scope, receive, send)
        except Exception as exc:
            logger.exception("unexpected error")
            if scope["state"]["started"]:
                scope["state"]["error"] = errors.unexpected(exc)
                raise
            # The search may be what is broken: the response says nothing of it.
            scope["state"].pop("run", None)
            await problem_response(scope, errors.unexpected(exc))(scope, receive, send)

    def _check_head(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope.get("raw_path") or scope["path"]
        n_bytes = len(path) + len(scope.get("query_string", b""))
        if n_bytes + sum(len(name) + len(value) for name, value in headers.raw) > HEAD_MAX_BYTES:
            raise errors.HeadTooLarge(f"Address and headers may have {HEAD_MAX_BYTES} bytes.")
        hosts = headers.getlist("host")
        if len(hosts) != 1 and (hosts or scope["http_version"] != "1.0"):
            raise errors.MalformedRequest("There must be exactly one Host header (RFC 9112 §3.2).")
        if "upgrade" in headers and has_body(headers):
            # The server takes what follows the head for the other protocol.
            raise errors.MalformedRequest(
                "The body cannot be read after an Upgrade header: send the request without it "
                "(curl: --http1.1; Java: HttpClient.Version.HTTP_1_1)."
            )
        if path_of(scope) in QUIET_PATHS:
            return
        # A page whose own name is made to lead here (DNS rebinding) has our origin. Where callers
        # need no key, only `Host` can tell.
        found, allowed = HOST.fullmatch(headers.get("host", "")), self.settings.allowed_hosts
        name = found[1].lower().removesuffix(".") if found else "."  # Nobody's.
        served = name.strip("[]") in allowed if allowed else LOCAL.fullmatch(name)
        if (allowed or self.settings.allow_anonymous) and not served:
            raise errors.HostNotAllowed("This service has no such name; ALLOWED_HOSTS can add it.")

    def _log(self, scope: Scope, status: int, duration_s: float) -> None:
        state, path, run = scope["state"], path_of(scope), run_of(scope)
        caller, error = state.get("caller"), state.get("error")
        if isinstance(error, telemetry.REFUSALS):
            self.metrics.rejected.labels(error.code).inc()
        known = {
            "method": scope["method"],
            "path": QUERY.split(path, 1)[0],
            "status": status,
            "duration_s": round(duration_s, 4),
            "client_address": (scope.get("client") or ("",))[0],
            "client": caller and caller.name,
            "search_id": run and run.id,
            "code": error and error.code,
            "reason": error.detail if isinstance(error, Overloaded) else None,
            "server_timing": state.get("server_timing") or None,
        }
        level = logging.DEBUG if path in QUIET_PATHS else logging.INFO
        fields = {name: value for name, value in known.items() if value is not None}
        logger.log(level, "request", extra={"fields": fields})


def has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
