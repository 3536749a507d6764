"""What browsers let other sites' scripts do here (WHATWG Fetch, "CORS protocol").

Never with credentials: whoever asks shows a key or token, and no cookie counts. Not here: the
refusal of foreign pages, which is `app/api/caller.py`'s, as a form's POST asks no leave first.
"""

from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from app.api.caller import caller_of
from app.api.problems import error_of, problem_response
from app.errors import Forbidden, OriginNotAllowed, Unauthorized
from app.guards import Origins, normal_origin

RawHeader = tuple[bytes, bytes]
"""Name, in lower case, and value, as ASGI has them."""

METHODS = "GET, POST, DELETE"
MAX_AGE_S = 600
EXPOSED_HEADERS = (
    "X-Request-ID, X-Search-ID, X-Cache, RateLimit, RateLimit-Policy, Retry-After, "
    "X-Should-Retry, "
    "Cache-Control, X-Accel-Buffering, Location"
)
"""What a page's script may read of an answer."""

NOT_WELCOME = (Unauthorized, OriginNotAllowed, Forbidden)
"""What a page is told whose token has ended, or is not for it. It holds nothing of anybody's."""


class Cors:
    """Answers preflights, and marks answers as readable by the pages that may search."""

    def __init__(self, origins: Origins, *, tokens: bool) -> None:
        self._origins = origins
        self._tokens = tokens

    def preflight(self, scope: Scope) -> Response | None:
        """Answer a browser that asks before its page's request; `None` for anything else."""
        headers = Headers(scope=scope)
        asks = "origin" in headers and "access-control-request-method" in headers
        if scope["method"] != "OPTIONS" or not asks:
            return None
        # A token names the pages it is for, and no preflight shows one: the request itself is
        # held against it, without which an answer to its preflight is worth nothing.
        if not self._tokens and not self._origins.allow(headers["origin"]):
            error = OriginNotAllowed("Pages of this origin may not search here; see CORS_ORIGINS.")
            return problem_response(scope, error)
        allowed = {"Access-Control-Allow-Methods": METHODS}
        if not self._readable(scope, headers["origin"]):
            # Where it is, every answer says so.
            allowed["Access-Control-Allow-Origin"] = headers["origin"]
        if wanted := headers.get("access-control-request-headers"):
            allowed["Access-Control-Allow-Headers"] = wanted
        return Response(
            status_code=204, headers=allowed | {"Access-Control-Max-Age": str(MAX_AGE_S)}
        )

    def headers(self, scope: Scope) -> Iterator[RawHeader]:
        """What a caller's browser needs; foreign pages can read only that they are refused."""
        origin = Headers(scope=scope).get("origin")
        if not self._origins.any:
            yield b"vary", b"Origin"
        if origin is not None and (self._readable(scope, origin) or self._refuses_token(scope)):
            allowed = "*" if self._origins.any else origin
            yield b"access-control-allow-origin", allowed.encode("latin-1")
            yield b"access-control-expose-headers", EXPOSED_HEADERS.encode("ascii")

    def _readable(self, scope: Scope, origin: str) -> bool:
        """Whether the origin may search; one that a token is bound to shows only with the token."""
        caller = caller_of(scope)
        bound = caller.origin if caller else None
        return self._origins.allow(origin) or normal_origin(origin) == bound

    def _refuses_token(self, scope: Scope) -> bool:
        """Whether this says to a page why its token is refused; it cannot be known by the token."""
        error = error_of(scope)
        return self._tokens and error is not None and issubclass(error, NOT_WELCOME)
