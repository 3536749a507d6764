"""What every request passes on its way in and out: an id, a log line, a last resort."""

import logging
import re
import time
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import telemetry
from app.api.caller import caller_of, rate_of
from app.api.cors import Cors, RawHeader
from app.api.leaving import CLIENT_GONE
from app.api.problems import error_of, forget_run, problem_response, refusal_of, run_of
from app.errors import CallerError, Draining, Internal, Overloaded

logger = logging.getLogger("app.access")

WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: logged at debug level."""

REFUSALS = (CallerError, Overloaded, Draining)
"""What requests are turned away with; the other errors are failures of what was let in."""

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
POLICY = b"default-src 'none'; frame-ancestors 'none'"
"""Answers are data: nothing in them may run, be framed, or tell where it came from."""

DOCS_PATH = "/docs"
DOCS_POLICY = (
    b"default-src 'none'; connect-src 'self'; img-src 'self' data: https://fastapi.tiangolo.com; "
    b"script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    b"style-src 'unsafe-inline' https://cdn.jsdelivr.net; frame-ancestors 'none'"
)
"""What FastAPI's page is made of; it is served only with `DOCS=true`."""


class RequestLog:
    """Gives each request its id, logs one line when it ends, and answers what nobody caught."""

    def __init__(self, app: ASGIApp, metrics: telemetry.Metrics, cors: Cors) -> None:
        self.app = app
        self.metrics = metrics
        self.cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        telemetry.request_id.set(_request_id(scope))
        answer = _Answer(scope, send, self.cors)
        started_at = time.perf_counter()
        try:
            handler = refusal_of(scope) or self.cors.preflight(scope) or self.app
            await handler(scope, receive, answer.send)
        except ClientDisconnect:
            pass
        except Exception:
            logger.exception("request broke")
            forget_run(scope)
            if answer.status is None:
                error = Internal("Something went wrong here; it was logged.")
                await problem_response(scope, error)(scope, receive, answer.send)
        finally:
            self._log(scope, answer, time.perf_counter() - started_at)

    def _log(self, scope: Scope, answer: "_Answer", duration_s: float) -> None:
        level = logging.DEBUG if scope["path"] in QUIET_PATHS else logging.INFO
        run = run_of(scope)
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": answer.status or CLIENT_GONE,
            "duration_s": round(duration_s, 4),
            "client_address": (scope.get("client") or ("", 0))[0],
        }
        if caller := caller_of(scope):
            fields["client"] = caller.name
        if run:
            fields["search_id"] = run.id
        if error := error_of(scope):
            fields["code"] = error.code
            if issubclass(error, REFUSALS):
                self.metrics.rejected.labels(error.code).inc()
        logger.log(level, "request", extra={"fields": fields})


class _Answer:
    """One request's way out: notes the status, adds the headers that every response has."""

    def __init__(self, scope: Scope, send: Send, cors: Cors) -> None:
        self.status: int | None = None
        self._scope = scope
        self._send = send
        self._cors = cors

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers()]
        await self._send(message)

    def _headers(self) -> Iterator[RawHeader]:
        yield b"x-request-id", telemetry.request_id.get().encode("ascii")
        if run := run_of(self._scope):
            yield b"x-search-id", run.id.encode("ascii")
        if rate := rate_of(self._scope):
            yield b"ratelimit", rate.limit_field.encode("ascii")
            yield b"ratelimit-policy", rate.policy_field.encode("ascii")
        policy = DOCS_POLICY if self._scope["path"] == DOCS_PATH else POLICY
        yield b"content-security-policy", policy
        yield from SECURITY_HEADERS
        yield from self._cors.headers(self._scope)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if WELL_FORMED_ID.fullmatch(given) else telemetry.make_request_id()
