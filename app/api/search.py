"""The endpoints of a search: wait for it, stream it, come back to it, stop it."""

import re
from collections.abc import Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from app.api.dependencies import (
    Admitted,
    AdmittedOrResuming,
    AdmittedOrResumingReader,
    Caller,
    IdempotencyKey,
    LastEventId,
    Reader,
    last_seen,
    require_event_stream,
)
from app.api.disconnects import wait_unless_disconnected
from app.api.events import StreamEvent
from app.api.openapi import IDENTIFIED, STARTED, UPLOADED, UPSTREAM, answer, body, events, refusals
from app.api.schemas import SearchForm, SearchRequest, StreamQuery
from app.api.search_input import open_query, open_upload
from app.api.service import Service, ServiceDep
from app.api.sse import RETRY_MS, EventStream, encoder_of
from app.errors import InvalidRequest, NotAcceptable, SearchNotFound
from app.models import Client
from app.results import SearchResult
from app.runs import Opened, Run
from app.runs import Reader as RunReader

EVENT_ID = re.compile(r"(srch_[0-9a-f]{32}):(0|[1-9][0-9]{0,8})")
EVENT_NUMBER_MAX = 999_999_999

SEARCH_BODY = body(json=SearchRequest, form=SearchForm)
STARTED_HEADERS = ("X-Search-ID", "X-Cache", "RateLimit", "RateLimit-Policy")
STREAM = events(StreamEvent, "Location", *STARTED_HEADERS) | answer(
    status=204, description="The search has ended and its last event was seen."
)
FOUND = answer("X-Search-ID") | refusals(*IDENTIFIED, SearchNotFound)

router = APIRouter(tags=["search"])
SearchId = Annotated[str, Path(description="Id of the search.")]


@router.post(
    "/search",
    openapi_extra=SEARCH_BODY,
    responses=answer(*STARTED_HEADERS) | refusals(*UPLOADED, *UPSTREAM),
)
async def create_search(
    request: Request, service: ServiceDep, client: Admitted, idempotency_key: IdempotencyKey = None
) -> SearchResult:
    """Search by image, and wait for the end."""
    opened = await open_upload(request, service, client, key=idempotency_key, resumable=False)
    run = opened.reader.run
    try:
        await wait_unless_disconnected(request, run.finished())
    finally:
        opened.reader.close()
    if run.error:
        raise run.error
    return run.result


@router.post(
    "/search/stream",
    response_class=EventStream,
    openapi_extra=SEARCH_BODY,
    responses=STREAM | refusals(*UPLOADED, SearchNotFound, *UPSTREAM),
)
async def stream_search(
    request: Request,
    service: ServiceDep,
    client: AdmittedOrResuming,
    idempotency_key: IdempotencyKey = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Search by image, and follow the events; an early failure has its own status."""
    if last_event_id:
        return _resume(request, service, client, last_event_id)
    opened = await open_upload(request, service, client, key=idempotency_key, resumable=True)
    first_event = opened.reader.run.opened(service.settings.stream_commit_s)
    return await _follow(request, service, opened, first_event)


@router.get(
    "/search/stream",
    response_class=EventStream,
    dependencies=[Depends(require_event_stream)],
    responses=STREAM | refusals(*STARTED, NotAcceptable, SearchNotFound),
)
async def open_search_stream(
    request: Request,
    service: ServiceDep,
    client: AdmittedOrResumingReader,
    fields: Annotated[StreamQuery, Query()],
    *,
    idempotency_key: IdempotencyKey = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Do the same for `EventSource`, which can read no other status than 200."""
    if event_id := last_event_id or last_seen(request):
        return _resume(request, service, client, event_id)
    opened = await open_query(request, service, client, fields, key=idempotency_key)
    return await _follow(request, service, opened, opened.reader.run.admitted())


@router.get("/search/{search_id}", responses=FOUND)
async def get_search(
    request: Request, service: ServiceDep, client: Caller, search_id: SearchId
) -> SearchResult:
    """Get what a search has found so far, or how it ended."""
    return _find(request, service, client, search_id).result


@router.get(
    "/search/{search_id}/stream",
    response_class=EventStream,
    responses=STREAM | refusals(*IDENTIFIED, SearchNotFound, InvalidRequest),
)
async def resume_search(
    request: Request,
    service: ServiceDep,
    client: Reader,
    search_id: SearchId,
    after: Annotated[
        int, Query(ge=0, le=EVENT_NUMBER_MAX, description="How many events were seen already.")
    ] = 0,
    *,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow a search again: first what was missed, then live."""
    run = _find(request, service, client, search_id)
    if event_id := last_event_id or last_seen(request):
        of, after = _parse(event_id)
        if of != run.id:
            raise SearchNotFound("This Last-Event-ID is of another search.")
    return _stream_from(request, service, run, after)


@router.delete("/search/{search_id}", responses=FOUND)
async def cancel_search(
    request: Request, service: ServiceDep, client: Caller, search_id: SearchId
) -> SearchResult:
    """Stop a search; while other requests share it, only leave it."""
    run = _find(request, service, client, search_id)
    if service.runs.cancel(run):
        await run.finished()
    return run.result


async def _follow(
    request: Request, service: Service, opened: Opened, status_known: Coroutine[Any, Any, None]
) -> Response:
    """Begin the stream once its status is known."""
    try:
        await wait_unless_disconnected(request, status_known)
    except BaseException:
        opened.reader.close()
        raise
    return _stream(request, service, opened.reader, after=0)


def _resume(request: Request, service: Service, client: Client, event_id: str) -> Response:
    """Go on behind the last event that a reader has seen; nothing is paid for again."""
    search_id, after = _parse(event_id)
    return _stream_from(request, service, _find(request, service, client, search_id), after)


def _parse(event_id: str) -> tuple[str, int]:
    found = EVENT_ID.fullmatch(event_id)
    if found is None:
        raise SearchNotFound("This Last-Event-ID is none of this service's.")
    return found[1], int(found[2])


def _find(request: Request, service: Service, client: Client, search_id: str) -> Run:
    run = service.runs.find(client, search_id)
    request.state.run = run
    return run


def _stream_from(request: Request, service: Service, run: Run, after: int) -> Response:
    if run.ended and after >= len(run.log.events):
        return Response(status_code=204)
    # With a number that was never given out a reader would miss the last event.
    seen = min(after, len(run.log.events))
    return _stream(request, service, run.read(resumable=True), after=seen)


def _stream(request: Request, service: Service, reader: RunReader, *, after: int) -> EventStream:
    settings, search_id = service.settings, reader.run.id
    prefix = request.scope.get("root_path", "")
    return EventStream(
        reader,
        after=after,
        encode=encoder_of(reader.run),
        retry_ms=RETRY_MS,
        heartbeat_s=0 if settings.stream_progress_s else settings.stream_heartbeat_s,
        streams_open=service.metrics.streams_open,
        headers={"Location": f"{prefix}/search/{search_id}/stream"},
    )
