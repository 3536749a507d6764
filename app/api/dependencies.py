"""Who calls, checked before a byte of the body is read: credential, origin, rate."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyQuery, HTTPAuthorizationCredentials, HTTPBearer

from app.api.service import Service, ServiceDep
from app.errors import NotAcceptable, OriginNotAllowed, RateLimited, RouteNotFound, Unauthorized
from app.guards import Identity
from app.setting_types import normal_origin

EVENT_STREAM = "text/event-stream"
PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
PREFETCH_WORDS = ("prefetch", "prerender", "preview")
"""How Chromium, Safari and Firefox mark requests that no user has made yet."""

MISPLACED_TOKEN = (
    "Send the token in the Authorization header; only event streams by GET take it in the URL."
)

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="A client key or a browser token; not needed with ALLOW_ANONYMOUS.",
)
token_in_url = APIKeyQuery(
    name="access_token",
    auto_error=False,
    scheme_name="accessToken",
    description="A browser token, where an EventSource can send no header.",
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
UrlToken = Annotated[str | None, Depends(token_in_url)]


def header_of(request: Request, name: str) -> str:
    """All lines of a header whose value is a list (RFC 9110 §5.3), in lower case."""
    return ",".join(request.headers.getlist(name)).lower()


def last_seen(request: Request) -> str:
    """Id of the last event that a returning reader has seen; empty if it does not return."""
    by_header = request.headers.get("last-event-id", "")
    by_query = request.query_params.get("lastEventId", "") if request.method == "GET" else ""
    return by_header or by_query


async def identify(request: Request, service: ServiceDep, shown: Credentials) -> Identity:
    """Identify the caller by its Authorization header.

    Raises:
        Unauthorized: No credential where one is required, or not a valid one.
        OriginNotAllowed: The token is bound to another origin.
    """
    try:
        return _identify(request, service, shown, None)
    except Unauthorized as exc:
        if shown is None and "access_token" in request.query_params:
            raise Unauthorized(MISPLACED_TOKEN) from exc
        raise


async def identify_reader(
    request: Request, service: ServiceDep, shown: Credentials, token: UrlToken
) -> Identity:
    """Do the same on event streams by GET, where the URL may hold a browser token."""
    return _identify(request, service, shown, token)


async def identify_key_holder(
    request: Request, service: ServiceDep, shown: Credentials
) -> Identity:
    """Identify a caller who wants a token, for which only a client key will do; count the request.

    Raises:
        RouteNotFound: No tokens are made here.
        Unauthorized, Forbidden, RateLimited: As the guards say.
    """
    if not service.guards.credentials.mints:
        raise RouteNotFound("No tokens are made here: CLIENT_TOKEN_SECRET is not set.")
    caller = service.guards.credentials.identify_key_holder(
        shown.credentials.strip() if shown else None
    )
    request.state.caller = caller
    _charge(request, service, caller)
    return caller


async def admit(
    request: Request, service: ServiceDep, caller: Annotated[Identity, Depends(identify)]
) -> Identity:
    """Let a caller start a search, and count the request to its rate.

    Raises:
        OriginNotAllowed, RateLimited: It may not, or not now.
    """
    return _admit(request, service, caller)


async def admit_or_resume(
    request: Request, service: ServiceDep, caller: Annotated[Identity, Depends(identify)]
) -> Identity:
    """Do the same on streams; one that is resumed is free."""
    return caller if last_seen(request) else _admit(request, service, caller)


async def admit_or_resume_reader(
    request: Request, service: ServiceDep, caller: Annotated[Identity, Depends(identify_reader)]
) -> Identity:
    """Do the same on streams by GET."""
    return caller if last_seen(request) else _admit(request, service, caller)


Caller = Annotated[Identity, Depends(identify)]
Reader = Annotated[Identity, Depends(identify_reader)]
KeyHolder = Annotated[Identity, Depends(identify_key_holder)]
Admitted = Annotated[Identity, Depends(admit)]
AdmittedOrResuming = Annotated[Identity, Depends(admit_or_resume)]
AdmittedOrResumingReader = Annotated[Identity, Depends(admit_or_resume_reader)]


async def require_event_stream(request: Request) -> None:
    """Keep link previews, prefetching and address bars from starting a search that costs money.

    Raises:
        NotAcceptable: No event stream was asked for, or no user has asked for it yet.
    """
    if EVENT_STREAM not in header_of(request, "accept"):
        raise NotAcceptable(f"Ask with 'Accept: {EVENT_STREAM}', as an EventSource does.")
    purposes = [header_of(request, name) for name in PREFETCH_HEADERS]
    if any(word in purpose for purpose in purposes for word in PREFETCH_WORDS):
        raise NotAcceptable("A prefetch does not start a search.")


def _identify(
    request: Request,
    service: Service,
    shown: HTTPAuthorizationCredentials | None,
    token: str | None,
) -> Identity:
    caller = service.guards.credentials.identify(
        bearer=shown.credentials.strip() if shown else None,
        token=token,
        address=request.client.host if request.client else "",
        origin=request.headers.get("origin"),
    )
    request.state.caller = caller
    return caller


def _admit(request: Request, service: Service, caller: Identity) -> Identity:
    _check_origin(request, service, caller)
    _charge(request, service, caller)
    return caller


def _charge(request: Request, service: Service, caller: Identity) -> None:
    """Count one request, and have the response say what is left."""
    try:
        rate = service.guards.rate.charge(caller)
    except RateLimited:
        rate = service.guards.rate.status(caller)
        raise
    finally:
        if rate:
            request.state.headers["RateLimit"] = rate.limit_field
            request.state.headers["RateLimit-Policy"] = rate.policy_field


def _check_origin(request: Request, service: Service, caller: Identity) -> None:
    """Refuse pages of other origins: a multipart POST needs no preflight, so CORS stops nobody."""
    if header_of(request, "sec-fetch-mode") == "no-cors":
        # Such a GET has no Origin, and its page chooses what it accepts.
        raise OriginNotAllowed("Pages must ask in the mode 'cors', in which browsers send Origin.")
    origin = request.headers.get("origin")
    if origin is None or service.guards.origins.allow(origin):
        return
    # No page can set Sec-Fetch-Site; a proxy in front may have rewritten Host, or ended TLS.
    same_site = header_of(request, "sec-fetch-site") == "same-origin"
    host = request.headers.get("host", "")
    own = {normal_origin(f"{scheme}://{host}") for scheme in ("http", "https")}
    if not same_site and normal_origin(origin) not in {caller.origin, *own}:
        raise OriginNotAllowed("Pages of this origin may not search here; see CORS_ORIGINS.")
