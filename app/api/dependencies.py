"""Who calls, checked before a byte of the body is read: credential, origin, rate."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.security import APIKeyQuery, HTTPAuthorizationCredentials, HTTPBearer

from app.errors import InvalidRequest, ModelNotAllowed, NotAcceptable, OriginNotAllowed, RateLimited
from app.images.memory import MemoryReservation
from app.models import Client
from app.runs.local import OpenRequest
from app.runs.run import Reader, Run
from app.service import Service
from app.settings import normal_origin

WAIT = re.compile(r'wait="?(\d{1,6})"?')
PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
PREFETCH = re.compile("prefetch|prerender|preview")
"""How Chromium, Safari and Firefox mark requests that no user has made yet."""

BEARER = "A client key or a browser token; not needed with ALLOW_ANONYMOUS."
bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description=BEARER)
IN_URL = "A browser token, where an EventSource can send no header."
token_in_url = APIKeyQuery(
    name="access_token", auto_error=False, scheme_name="accessToken", description=IN_URL
)
BearerHeader = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
UrlToken = Annotated[str | None, Depends(token_in_url)]
SAME_KEY = "The same key with the same request joins its search."
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255, description=SAME_KEY)
]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="Continue after this event; the body is ignored."),
]
Prefer = Annotated[
    str | None,
    Header(alias="Prefer", description="`respond-async`: as `background`; `, wait=N`: seconds."),
]


@dataclass(frozen=True, slots=True)
class Call:
    """A request, the service that has to answer it, and who makes it."""

    request: Request
    service: Service
    client: Client

    def hold_memory(self) -> MemoryReservation:
        """The memory that the body and its images take, which `with` releases at the end."""
        return self.service.intake.memory.hold(caller=self.client.name)

    def preferred_wait_s(self) -> int | None:
        """How long to wait before answering 202 (RFC 7240); `None` without `respond-async`."""
        preferences = [one.strip() for one in re.split("[,;]", header_of(self.request, "prefer"))]
        waits = [int(found[1]) for one in preferences if (found := WAIT.fullmatch(one))]
        return (waits[0] if waits else 0) if "respond-async" in preferences else None

    async def open(self, wanted: OpenRequest) -> Reader:
        """Join the run that answers the request, or start one; the response says which."""
        reader = await self.service.runs.open(wanted)
        self.service.metrics.cache.labels(reader.cache).inc()
        self.request.state.headers["X-Cache"] = reader.cache
        return reader

    async def check(
        self, *, model: str, follows: str | None, n_images: int, field: str, **texts: str | None
    ) -> None:
        """Refuse what exceeds the settings, in `field` or a text, and follow-ups of another's."""
        settings = self.service.settings
        if n_images > settings.image_max_count:
            raise InvalidRequest.of(field, f"At most {settings.image_max_count} images.")
        for name, text in texts.items():
            if 0 < settings.prompt_max_chars < len(text or ""):
                raise InvalidRequest.of(name, f"At most {settings.prompt_max_chars} characters.")
        if model not in settings.models:
            offered = ", ".join(settings.models)
            raise ModelNotAllowed(f"This model is not offered. Offered are: {offered}.")
        if follows is None:
            return
        if not settings.upstream_store:
            reason = "Answers are not kept here, so none can be followed up."
            raise InvalidRequest.of("previous_response_id", reason)
        await self.service.guards.responses.check(follows, self.client.name)

    def address_of(self, run: Run) -> str:
        """That of a search, with the path prefix of a proxy in front."""
        return f"{self.request.scope.get('root_path', '')}/search/{run.id}"


def header_of(request: Request, name: str) -> str:
    """All lines of a header whose value is a list (RFC 9110 §5.3), in lower case."""
    return ",".join(request.headers.getlist(name)).lower()


async def identify(request: Request, shown: BearerHeader) -> Call:
    """A call by the holder of what the Authorization header shows."""
    return await identify_by_url(request, shown, None)


async def identify_by_url(request: Request, shown: BearerHeader, token: UrlToken) -> Call:
    """The call of an event stream by GET, where the URL may hold a browser token."""
    service: Service = request.app.state.service
    request.state.caller = caller = service.guards.credentials.identify(
        bearer=shown.credentials.strip() if shown else None,
        token=token,
        address=request.client.host if request.client else "",
        origin=request.headers.get("origin"),
    )
    return Call(request, service, caller)


Identified = Annotated[Call, Depends(identify)]
ByUrl = Annotated[Call, Depends(identify_by_url)]


async def count(call: Identified) -> Call:
    """A call that costs something; it is counted, and the response says what is left."""
    fields, retry_after_s = await call.service.guards.rate.charge(call.client)
    call.request.state.headers.update(fields)
    if retry_after_s:
        raise RateLimited(retry_after_s=retry_after_s)
    return call


async def admit(call: Identified) -> Call:
    """A call that may start a search, counted; called by routes whose resumed streams are free.

    Refuses pages of other origins: a multipart POST needs no preflight, so CORS stops nobody.
    """
    headers = call.request.headers
    if header_of(call.request, "sec-fetch-mode") == "no-cors":
        # Such a GET has no Origin, and its page chooses what it accepts.
        raise OriginNotAllowed("Pages must ask in the mode 'cors', in which browsers send Origin.")
    origin, host = headers.get("origin"), headers.get("host", "")
    # No page can set Sec-Fetch-Site; a proxy in front may have rewritten Host, or ended TLS.
    same_site = header_of(call.request, "sec-fetch-site") == "same-origin"
    if origin is not None and not same_site:
        own = {normal_origin(f"{scheme}://{host}") for scheme in ("http", "https") if host}
        allowed = {call.client.origin, *own, *call.service.settings.cors_origins}
        if allowed.isdisjoint({"*", normal_origin(origin)}):
            raise OriginNotAllowed("Pages of this origin may not search here; see CORS_ORIGINS.")
    return await count(call)


Counted = Annotated[Call, Depends(count)]
Admitted = Annotated[Call, Depends(admit)]


async def require_event_stream(request: Request) -> None:
    """Keep link previews, prefetching and address bars from starting a search that costs money."""
    if "text/event-stream" not in header_of(request, "accept"):
        raise NotAcceptable("Ask with 'Accept: text/event-stream', as an EventSource does.")
    if any(PREFETCH.search(header_of(request, name)) for name in PREFETCH_HEADERS):
        raise NotAcceptable("A prefetch does not start a search.")
