"""The endpoints of a search: wait for it, stream it, come back to it, stop it."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from app import telemetry
from app.api import bodies, dependencies
from app.api.dependencies import Admitted, Caller, IdempotencyKey, LastEventId, Reader
from app.api.disconnects import wait_as_reader, wait_unless_disconnected
from app.api.events import StreamEvent
from app.api.openapi import IDENTIFIED, STARTED, UPLOADED, UPSTREAM, answer, body, events, refusals
from app.api.schemas import SearchForm, SearchRequest, StreamQuery, TextFields
from app.api.service import Service, ServiceDep
from app.api.sse import EventStream, is_lost_end, search_encoder
from app.errors import ImageMissing, InvalidRequest, MalformedBody, NotAcceptable, SearchNotFound
from app.images.memory import MemoryReservation
from app.models import Client, SearchSpec
from app.results import SearchResult
from app.runs import Reader as RunReader
from app.runs import Run

EVENT_ID = re.compile(r"(srch_[0-9a-f]{32}):(\d{1,11})")
FOREIGN_ID = "This Last-Event-ID is none of this search's."
EVENT_NUMBER_MAX = 999_999_999

SEARCH_BODY = body(json=SearchRequest, form=SearchForm)
ACCEPTED = answer(
    *("Location", "Preference-Applied", "X-Search-ID"),
    status=202,
    description="It goes on in the background; this is what has come so far.",
    model=SearchResult,
)
STARTED_HEADERS = ("X-Search-ID", "X-Cache", "RateLimit", "RateLimit-Policy", "Server-Timing")
STREAM = events(StreamEvent, "Location", *STARTED_HEADERS) | answer(
    status=204, description="The search has ended and its last event was seen."
)
FOUND = answer("X-Search-ID") | refusals(*IDENTIFIED, SearchNotFound)

Fields = tuple[SearchRequest, list[bytes]]
"""What is asked for, and the image files beside it."""
BodyReader = Callable[[Request, MemoryReservation], Awaitable[Fields]]

router = APIRouter(tags=["search"])
SearchId = Annotated[str, Path(description="Id of the search.")]


@router.post(
    "/search",
    openapi_extra=SEARCH_BODY,
    responses=answer(*STARTED_HEADERS) | ACCEPTED | refusals(*UPLOADED, *UPSTREAM),
)
async def create_search(
    request: Request,
    response: Response,
    service: ServiceDep,
    client: Admitted,
    *,
    idempotency_key: IdempotencyKey = None,
    _: Annotated[
        str | None,
        Header(
            alias="Prefer", description="`respond-async`: as `background`; `, wait=N`: seconds."
        ),
    ] = None,
) -> SearchResult:
    """Search by image, and wait for the end, or with `background` only for the start."""
    reader = await open_search(request, service, client, idempotency_key, resumable=False)
    run, wait_s = reader.run, dependencies.preferred_wait_s(request)
    if reader.background:
        await wait_as_reader(request, reader, run.admitted())
    within_s = (wait_s or 0) if reader.background else None
    await wait_as_reader(request, reader, run.finished(within_s))
    reader.close()
    if run.error:
        raise run.error
    if not run.ended:
        response.status_code = 202
        request.state.headers["Location"] = _address(request, run)
    if wait_s is not None:
        waited = f", wait={wait_s}" if wait_s else ""
        request.state.headers["Preference-Applied"] = f"respond-async{waited}"
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
    client: Caller,
    idempotency_key: IdempotencyKey = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Search by image, and follow the events; an early failure has its own status."""
    if last_event_id:
        return await _resume(request, service, client, last_event_id)
    await dependencies.check_origin_and_rate(request, service, client)
    reader = await open_search(request, service, client, idempotency_key)
    await wait_as_reader(request, reader, reader.run.first_event(service.settings.stream_commit_s))
    return _stream(request, service, reader)


@router.get(
    "/search/stream",
    response_class=EventStream,
    dependencies=[Depends(dependencies.require_event_stream)],
    responses=STREAM | refusals(*STARTED, NotAcceptable, SearchNotFound),
)
async def open_search_stream(
    request: Request,
    service: ServiceDep,
    client: Reader,
    fields: Annotated[StreamQuery, Query()],
    *,
    idempotency_key: IdempotencyKey = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Do the same for `EventSource`, which can read no other status than 200."""
    if event_id := _last_seen(request, last_event_id):
        return await _resume(request, service, client, event_id)
    await dependencies.check_origin_and_rate(request, service, client)
    reader = await open_search(request, service, client, idempotency_key, query=fields)
    await wait_as_reader(request, reader, reader.run.admitted())
    return _stream(request, service, reader)


@router.get("/search/{search_id}", responses=FOUND)
async def get_search(
    request: Request, service: ServiceDep, client: Caller, search_id: SearchId
) -> SearchResult:
    """Get what a search has found so far, or how it ended."""
    return (await _find(request, service, client, search_id)).result


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
    event_id = _last_seen(request, last_event_id) or f"{search_id}:{after}"
    return await _resume(request, service, client, event_id, of=search_id)


@router.delete("/search/{search_id}", responses=FOUND)
async def cancel_search(
    request: Request, service: ServiceDep, client: Caller, search_id: SearchId
) -> SearchResult:
    """Stop a search; while other requests share it, only leave it."""
    run = await _find(request, service, client, search_id)
    if await service.runs.cancel(run):
        await run.finished()
    return run.result


async def open_search(
    request: Request,
    service: Service,
    client: Client,
    key: str | None,
    *,
    query: StreamQuery | None = None,
    read: BodyReader | None = None,
    resumable: bool = True,
) -> RunReader:
    """Open the search of a query, or of the body; nothing of that is held here afterwards."""
    with service.intake.memory.hold(caller=client.name) as memory:
        fields, files = (query, []) if query else await (read or _read)(request, memory)
        await _check(service, client, fields, len(files))
        spec = await wait_unless_disconnected(request, _spec(service, client, fields, files))
        telemetry.lap("intake")
        # EventSource libraries send this header too, but by GET only.
        prefers_async = dependencies.preferred_wait_s(request) is not None
        no_cache = not query and "no-cache" in dependencies.header_of(request, "cache-control")
        opened = await service.searches.open(
            client,
            spec,
            memory=memory,
            key=key,
            fresh=bool(fields.fresh) or no_cache,
            resumable=resumable,
            background=bool(fields.background) or prefers_async,
        )
    request.state.run = opened.reader.run
    request.state.headers["X-Cache"] = opened.cache
    return opened.reader


async def _read(request: Request, memory: MemoryReservation) -> Fields:
    media_type = bodies.media_type_of(request)
    if media_type == bodies.JSON:
        sent = await bodies.read_json(request, memory)
        return bodies.validated(SearchRequest, sent.found, strict=True), []
    if media_type == bodies.MULTIPART:
        form = await bodies.read_form(request, memory)
        files = form.pop("image", [])
        return bodies.validated(TextFields, form, strict=False), files
    raise MalformedBody(f"The Content-Type must be {bodies.JSON} or {bodies.MULTIPART}.")


async def _check(service: Service, client: Client, fields: SearchRequest, n_files: int) -> None:
    """Check all that can be refused before an image is looked at."""
    count = len(fields.image_url) + n_files
    service.check_image_count(count)
    service.check_length("prompt", len(fields.prompt))
    service.check_length("instructions", len(fields.instructions or ""))
    service.check_model(fields.model or service.settings.model)
    await service.check_follow_up(client, fields.previous_response_id)
    if not (count or fields.previous_response_id):
        raise ImageMissing("Give an image: 'image_url', or a file in the multipart field 'image'.")


async def _spec(
    service: Service, client: Client, fields: SearchRequest, files: list[bytes]
) -> SearchSpec:
    intake, caller = service.intake, client.name
    images = [await intake.prepare_url(url, caller=caller) for url in fields.image_url]
    while files:  # Each is freed as soon as it is prepared.
        images.append(await intake.prepare(files.pop(0), caller=caller))
    return SearchSpec(
        images=tuple(images),
        prompt=fields.prompt,
        model=fields.model or service.settings.model,
        instructions=fields.instructions,
        previous_response_id=fields.previous_response_id,
        max_output_tokens=fields.max_output_tokens,
        thinking=fields.thinking is not False,
    )


def _last_seen(request: Request, header: str | None) -> str | None:
    """Id of the last event that a reader who returns by GET has seen."""
    return header or request.query_params.get("lastEventId")


async def _resume(
    request: Request, service: Service, client: Client, event_id: str, *, of: str | None = None
) -> Response:
    """Go on behind the last event that a reader has seen; nothing is paid for again."""
    seen = EVENT_ID.fullmatch(event_id)
    if seen is None or seen[1] != (of or seen[1]):
        raise SearchNotFound(FOREIGN_ID)
    run = await _find(request, service, client, seen[1])
    if is_lost_end(seen[2]) and not run.log.lost:
        raise SearchNotFound(FOREIGN_ID)
    after = int(seen[2])
    if run.source == "memory" or run.ended:
        # With a number that was never given out a reader would miss events. That of a replica
        # may have given out more than has come here.
        after = min(after, len(run.log.events))
    if run.ended and after == len(run.log.events) and run.log.lost == is_lost_end(seen[2]):
        return Response(status_code=204)
    service.metrics.resumes.labels(run.source).inc()
    return _stream(request, service, run.read(resumable=True), after)


async def _find(request: Request, service: Service, client: Client, search_id: str) -> Run:
    request.state.run = run = await service.runs.find(client, search_id)
    return run


def _stream(request: Request, service: Service, reader: RunReader, after: int = 0) -> EventStream:
    settings = service.settings
    return EventStream(
        reader,
        after=after,
        encode=search_encoder(reader.run, after),
        heartbeat_s=0 if settings.stream_progress_s else settings.stream_heartbeat_s,
        streams_open=service.metrics.streams_open,
        headers=stream_location(request, reader.run),
    )


def stream_location(request: Request, run: Run) -> dict[str, str]:
    """Where the search's stream can be followed again."""
    return {"Location": f"{_address(request, run)}/stream"}


def _address(request: Request, run: Run) -> str:
    """That of the search, behind the path prefix of a proxy in front."""
    return f"{request.scope.get('root_path', '')}/search/{run.id}"
