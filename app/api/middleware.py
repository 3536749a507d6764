"""Pure ASGI middleware around the routes; `app.main` has their order."""

import asyncio
import logging
import re
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import telemetry
from app.api.problems import path_of, problem_response, run_of
from app.errors import (
    CallerError,
    Draining,
    HeadTooLarge,
    Internal,
    MalformedRequest,
    Overloaded,
    ServiceError,
)

logger = logging.getLogger("app.access")

CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that left before its response; it is only logged."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Polled every few seconds by machines: logged at debug level."""

REFUSALS = (CallerError, Overloaded, Draining)
"""Errors that are counted as refusals; the others are failures of requests that were accepted."""

HEAD_MAX_BYTES = 65_536
LOGGED_PATH_MAX_CHARS = 1_024

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Responses are data: nothing in them may run, be framed or be kept. Pages set their own."""


class RootPath:
    """Sets the path prefix of a proxy in front, whether that keeps it in the path or strips it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if self.prefix and not scope.get("root_path"):
            scope = {**scope, "root_path": self.prefix}
        await self.app(scope, receive, send)


class RequestContext:
    """Gives each request an id and its response the headers of `state["headers"]`, and logs it.

    Dependencies cannot set headers by themselves where a route returns a `Response`.
    """

    def __init__(self, app: ASGIApp, metrics: telemetry.Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else telemetry.make_request_id()
        telemetry.request_id.set(request_id)
        state = scope.setdefault("state", {})
        state["headers"] = {"X-Request-ID": request_id}
        status, started_at = CLIENT_CLOSED_REQUEST, time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(scope, message)
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            pass
        finally:
            self._log(scope, status, time.perf_counter() - started_at)

    def _log(self, scope: Scope, status: int, duration_s: float) -> None:
        state, path = scope["state"], path_of(scope)
        error: ServiceError | None = state.get("error")
        fields = {
            "method": scope["method"],
            "path": path[:LOGGED_PATH_MAX_CHARS],
            "status": status,
            "duration_s": round(duration_s, 4),
            "client_address": (scope.get("client") or ("", 0))[0],
        }
        if caller := state.get("caller"):
            fields["client"] = caller.name
        if run := run_of(scope):
            fields["search_id"] = run.id
        if error:
            fields["code"] = error.code
        if isinstance(error, REFUSALS):
            self.metrics.rejected.labels(error.code).inc()
        level = logging.DEBUG if path in QUIET_PATHS else logging.INFO
        logger.log(level, "request", extra={"fields": fields})


def _add_headers(scope: Scope, message: Message) -> None:
    headers = MutableHeaders(scope=message)
    headers.update(scope["state"]["headers"])
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    if run := run_of(scope):
        headers["X-Search-ID"] = run.id


class InternalErrors:
    """Turns errors that no route handled into responses.

    Starlette's own handler for them stands outside of all middleware, where CORS and the request
    id are missing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except ClientDisconnect:
            raise
        except ServiceError as exc:
            await problem_response(scope, exc)(scope, receive, send)
        except Exception:
            logger.exception("unexpected error")
            if scope["type"] != "http" or started:
                raise
            # The search may be what is broken: the response says nothing of it.
            scope["state"].pop("run", None)
            error = Internal("An unexpected error occurred; it was logged.")
            await problem_response(scope, error)(scope, receive, send)


class HeadChecks:
    """Refuses requests whose head is too large, ambiguous, or hides the body from the server."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on.

        Raises:
            HeadTooLarge, MalformedRequest: It is refused.
        """
        if scope["type"] == "http":
            _check_head(scope)
        await self.app(scope, receive, send)


def _check_head(scope: Scope) -> None:
    headers = Headers(scope=scope)
    target_bytes = len(scope.get("raw_path") or scope["path"]) + len(scope.get("query_string", b""))
    if target_bytes + sum(len(name) + len(value) for name, value in headers.raw) > HEAD_MAX_BYTES:
        raise HeadTooLarge(f"Address and headers may have {HEAD_MAX_BYTES} bytes.")
    hosts = len(headers.getlist("host"))
    if hosts != 1 and not (hosts == 0 and scope["http_version"] == "1.0"):
        raise MalformedRequest("The request must have exactly one Host header (RFC 9112 §3.2).")
    if "upgrade" in headers and has_body(headers):
        # The server takes what follows the head for the other protocol.
        raise MalformedRequest(
            "The body cannot be read behind an Upgrade header: send the request without it "
            "(curl: --http1.1; Java: HttpClient.Version.HTTP_1_1)."
        )


def has_body(headers: Headers) -> bool:
    """Whether a request announces a body."""
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


class RefuseBodiesWhileDraining:
    """Ends the wait for a body that is still arriving when the service begins to shut down."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or not has_body(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        draining: asyncio.Event = scope["app"].state.service.draining
        arriving = True

        async def receive_unless_draining() -> Message:
            nonlocal arriving
            if not arriving:  # All that can come is http.disconnect.
                return await receive()
            message = await _unless(draining, receive)
            arriving = message.get("more_body", False)
            return message

        await self.app(scope, receive_unless_draining, send)


async def _unless(draining: asyncio.Event, receive: Receive) -> Message:
    receiving = asyncio.ensure_future(receive())
    waiting = asyncio.ensure_future(draining.wait())
    try:
        await asyncio.wait({receiving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            raise Draining("The service is shutting down.")
        return receiving.result()
    finally:
        receiving.cancel()
        waiting.cancel()
