"""The endpoints of a search: wait for it, stream it, come back to it, stop it."""

import re
from typing import Any, Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api.caller import identify, refuse_unless_event_source
from app.api.leaving import CLIENT_GONE, came_before_caller_left, ended_before_caller_left
from app.api.openapi import REPLAY_QUERY, SEARCH_BODY, SEARCH_QUERY, STREAM_RESPONSE
from app.api.problems import remember_run
from app.api.request import open_search
from app.api.routing import RequestRoute
from app.api.schemas import SearchResultBody
from app.api.service import service_of
from app.api.sse import LogStream
from app.errors import InvalidRequest, SearchNotFound
from app.models import Client, json_bytes
from app.runs import Reader, Run

EVENT_ID = re.compile(r"(srch_[0-9a-f]{32}):(0|[1-9][0-9]{0,8})")
EVENT_NUMBER = re.compile(r"[0-9]{1,9}")

router = APIRouter(route_class=RequestRoute)


@router.post("/search", response_model=SearchResultBody, openapi_extra=SEARCH_BODY)
async def search(request: Request) -> Response:
    """Search by image and wait for the end of it."""
    reader, cache = await open_search(request, resumable=False)
    try:
        if await ended_before_caller_left(request, reader.run):
            return _result(reader.run, {"X-Cache": cache})
        return Response(status_code=CLIENT_GONE)
    finally:
        reader.close()


@router.post("/search/stream", responses=STREAM_RESPONSE, openapi_extra=SEARCH_BODY)
async def search_stream(request: Request) -> Response:
    """Search by image and follow it; an early failure has its own status."""
    if last_seen := request.headers.get("last-event-id"):
        return _resume(request, identify(request), last_seen)
    reader, cache = await open_search(request, resumable=True)
    return await _follow(request, reader, cache, until="opened")


@router.get("/search/stream", responses=STREAM_RESPONSE, openapi_extra=SEARCH_QUERY)
async def search_stream_by_get(request: Request) -> Response:
    """Do the same for `EventSource`, which can read no other status than 200."""
    refuse_unless_event_source(request)
    if last_seen := request.headers.get("last-event-id"):
        return _resume(request, identify(request), last_seen)
    reader, cache = await open_search(request, resumable=True)
    return await _follow(request, reader, cache, until="admitted")


@router.get("/search/{search_id}", response_model=SearchResultBody)
async def state(request: Request, search_id: str) -> Response:
    """Tell what a search has found so far, or how it ended."""
    return _json(_find(request, identify(request), search_id).result.as_json(), {})


@router.get("/search/{search_id}/stream", responses=STREAM_RESPONSE, openapi_extra=REPLAY_QUERY)
async def replay(request: Request, search_id: str) -> Response:
    """Follow a search again, from behind `Last-Event-ID` or `after`, or from its beginning."""
    run = _find(request, identify(request), search_id)
    return _stream_from(request, run, _place(request, run))


@router.delete("/search/{search_id}", response_model=SearchResultBody)
async def stop(request: Request, search_id: str) -> Response:
    """Stop a search; while other requests share it, only leave it."""
    run = _find(request, identify(request), search_id)
    if service_of(request).runs.cancel(run):
        await run.finished()
    return _json(run.result.as_json(), {})


def _result(run: Run, headers: dict[str, str]) -> Response:
    if run.error:
        raise run.error
    return _json(run.result.as_json(), headers)


def _json(body: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(
        json_bytes(body),
        media_type="application/json",
        headers={"Cache-Control": "no-store"} | headers,
    )


async def _follow(
    request: Request, reader: Reader, cache: str, *, until: Literal["admitted", "opened"]
) -> Response:
    """Begin the stream once its status is known."""
    run, within_s = reader.run, service_of(request).settings.stream_commit_s
    known = run.admitted() if until == "admitted" else run.opened(within_s)
    try:
        if await came_before_caller_left(request, known):
            return _stream(request, reader, after=0, headers={"X-Cache": cache})
    except BaseException:
        reader.close()
        raise
    reader.close()
    return Response(status_code=CLIENT_GONE)


def _resume(request: Request, client: Client, last_seen: str) -> Response:
    """Go on behind the last event that a reader has seen; nothing is paid for again."""
    event_id = EVENT_ID.fullmatch(last_seen)
    if event_id is None:
        raise SearchNotFound("This Last-Event-ID is none of this service's.")
    run = _find(request, client, event_id[1])
    return _stream_from(request, run, int(event_id[2]))


def _stream_from(request: Request, run: Run, after: int) -> Response:
    if run.ended and after >= len(run.log.events):
        return Response(status_code=204)
    # A number that was never given out would skip the last event, which every stream must have.
    seen = min(after, len(run.log.events))
    return _stream(request, run.read(resumable=True), after=seen, headers={})


def _stream(request: Request, reader: Reader, *, after: int, headers: dict[str, str]) -> LogStream:
    service = service_of(request)
    settings = service.settings
    location = f"/search/{reader.run.id}/stream"
    return LogStream(
        reader,
        after=after,
        heartbeat_s=0 if settings.stream_progress_s else settings.stream_heartbeat_s,
        send_timeout_s=settings.stream_send_timeout_s,
        streams_open=service.metrics.streams_open,
        headers=headers | {"Location": location},
    )


def _find(request: Request, client: Client, search_id: str) -> Run:
    run = service_of(request).runs.find(client, search_id)
    remember_run(request.scope, run)
    return run


def _place(request: Request, run: Run) -> int:
    """Return how many events a reader has seen."""
    if last_seen := request.headers.get("last-event-id"):
        event_id = EVENT_ID.fullmatch(last_seen)
        if event_id is None or event_id[1] != run.id:
            raise SearchNotFound("This Last-Event-ID is not of this search.")
        return int(event_id[2])
    after = request.query_params.get("after", "")
    if not after:
        return 0
    if not EVENT_NUMBER.fullmatch(after):
        raise InvalidRequest.of("after", "Must be an event's number.")
    return int(after)
