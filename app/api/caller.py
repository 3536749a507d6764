"""Who calls, told before a byte of the body is read: credential, address, origin, rate."""

from starlette.requests import Request
from starlette.types import Scope

from app.api.service import service_of
from app.errors import NotAcceptable, OriginNotAllowed, RateLimited, Unauthorized
from app.guards import Identity, RateStatus, normal_origin

EVENT_STREAM = "text/event-stream"
PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
PREFETCH_WORDS = ("prefetch", "prerender", "preview")
"""As Chromium, Safari and Firefox say that nobody has asked for this page yet."""

MISPLACED = (
    "Show the token in the Authorization header; URLs take one on event streams by GET only."
)


def identify(request: Request) -> Identity:
    """Say who asks, from the Authorization header or, on event streams by GET, from the URL.

    Raises:
        Unauthorized: Nobody known, where somebody must be.
        OriginNotAllowed: The token was made for the pages of another origin.
    """
    bearer, in_url = bearer_of(request), request.query_params.get("access_token")
    misplaced = in_url is not None and not _is_event_source(request)
    try:
        caller = service_of(request).guards.identify(
            bearer=bearer,
            token=None if misplaced else in_url,
            address=request.client.host if request.client else "",
            origin=request.headers.get("origin"),
        )
    except Unauthorized as exc:
        if misplaced and bearer is None:
            raise Unauthorized(MISPLACED) from exc
        raise
    request.state.caller = caller
    return caller


def identify_key_holder(request: Request) -> Identity:
    """Say who asks, where only a client key will do.

    Raises:
        Unauthorized, Forbidden: As `Guards.identify_key_holder`.
    """
    caller = service_of(request).guards.identify_key_holder(bearer_of(request))
    request.state.caller = caller
    return caller


def admit_caller(request: Request) -> Identity:
    """Identify a caller who may start a search, and count the request to its rate.

    Raises:
        Unauthorized, OriginNotAllowed, RateLimited: It may not, or not now.
    """
    caller = identify(request)
    _check_origin(request, caller)
    charge(request, caller)
    return caller


def charge(request: Request, caller: Identity) -> None:
    """Count one request to the caller's rate, and note what is left for the answer's headers.

    Raises:
        RateLimited: It asks too often.
    """
    guards = service_of(request).guards
    try:
        request.state.rate = guards.charge(caller)
    except RateLimited:
        request.state.rate = guards.rate_of(caller)
        raise


def caller_of(scope: Scope) -> Identity | None:
    """Return who a request turned out to come from, if that was asked."""
    caller: Identity | None = scope.get("state", {}).get("caller")
    return caller


def rate_of(scope: Scope) -> RateStatus | None:
    """Return what a request's caller has left, if it was counted."""
    rate: RateStatus | None = scope.get("state", {}).get("rate")
    return rate


def refuse_unless_event_source(request: Request) -> None:
    """Keep link previews, prefetching and address bars from opening a stream, and paying for it.

    Raises:
        NotAcceptable: No event stream was asked for, or nobody asked for it yet.
    """
    if EVENT_STREAM not in header_of(request, "accept"):
        raise NotAcceptable(f"Ask with 'Accept: {EVENT_STREAM}', as an EventSource does.")
    purposes = [header_of(request, name) for name in PREFETCH_HEADERS]
    if any(word in purpose for purpose in purposes for word in PREFETCH_WORDS):
        raise NotAcceptable("A search is not started by a prefetch.")


def header_of(request: Request, name: str) -> str:
    """All lines of a header whose value is a list (RFC 9110 §5.3), in lower case."""
    return ",".join(request.headers.getlist(name)).lower()


def bearer_of(request: Request) -> str | None:
    """Return the credential (RFC 6750 §2.1): empty if of another scheme, `None` without any."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, credential = header.partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def _is_event_source(request: Request) -> bool:
    return request.method == "GET" and request.url.path.endswith("/stream")


def _check_origin(request: Request, caller: Identity) -> None:
    """Refuse foreign pages: a multipart POST needs no preflight, so CORS alone stops nobody."""
    if header_of(request, "sec-fetch-mode") == "no-cors":
        # Such a GET bears no origin, and the page chooses what it accepts.
        raise OriginNotAllowed("Pages must ask in the mode 'cors', in which their origin is told.")
    origin = request.headers.get("origin")
    if origin is None or service_of(request).guards.origins.allow(origin):
        return
    if normal_origin(origin) not in {caller.origin, *_own_origins(request)}:
        raise OriginNotAllowed("Pages of this origin may not search here; see CORS_ORIGINS.")


def _own_origins(request: Request) -> set[str]:
    """Where this service's own pages come from; a proxy in front may end TLS."""
    host = request.headers.get("host")
    return {normal_origin(f"{scheme}://{host}") for scheme in ("http", "https")} if host else set()
