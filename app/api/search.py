"""The endpoints of a search: wait for it, stream it, come back to it, stop it."""

import re
from collections.abc import Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from app.api.bodies import (
    JSON,
    MULTIPART,
    BodyLimits,
    media_type_of,
    read_form,
    read_json,
    validated,
)
from app.api.dependencies import (
    Admitted,
    AdmittedOrResuming,
    AdmittedOrResumingReader,
    Caller,
    Reader,
    header_of,
    last_seen,
    require_event_stream,
)
from app.api.disconnects import wait_unless_disconnected
from app.api.events import StreamEvent
from app.api.openapi import UPSTREAM, body, events, headers, refusals
from app.api.schemas import SearchForm, SearchRequest, StreamQuery, TextFields
from app.api.service import Service, ServiceDep
from app.api.sse import RETRY_MS, EventStream, encoder_of
from app.errors import (
    BudgetExceeded,
    EncodingUnsupported,
    ImageMissing,
    ImageTooLarge,
    ImageTypeUnsupported,
    InvalidRequest,
    MalformedBody,
    ModelNotAllowed,
    NotAcceptable,
    OriginNotAllowed,
    Overloaded,
    RateLimited,
    SearchNotFound,
    Unauthorized,
    UploadTimeout,
)
from app.images.memory import MemoryReservation
from app.models import Client, SearchSpec
from app.results import SearchResult
from app.runs import Opened, Run

EVENT_ID = re.compile(r"(srch_[0-9a-f]{32}):(0|[1-9][0-9]{0,8})")
EVENT_NUMBER_MAX = 999_999_999

IDENTIFIED = (Unauthorized, OriginNotAllowed)
STARTED = (
    *IDENTIFIED,
    *(RateLimited, BudgetExceeded, Overloaded),
    *(InvalidRequest, ImageTooLarge, ImageTypeUnsupported, ModelNotAllowed, ImageMissing),
)
UPLOADED = (*STARTED, MalformedBody, UploadTimeout, EncodingUnsupported)

SEARCH_BODY = body(json=SearchRequest, form=SearchForm)
RESULT = {200: {"headers": headers("X-Search-ID")}}
CREATED = {200: {"headers": headers("X-Search-ID", "X-Cache", "RateLimit", "RateLimit-Policy")}}
STREAM = events(StreamEvent, "X-Search-ID", "X-Cache", "RateLimit", "RateLimit-Policy", "Location")
SEEN = {204: {"description": "The search has ended and its last event was seen."}}

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key with the same request joins its search.",
    ),
]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Id of the last event seen: go on behind it, whatever the query or body says.",
    ),
]
CacheControl = Annotated[
    str | None,
    Header(alias="Cache-Control", description="`no-cache`: do not reuse a finished search."),
]

router = APIRouter(tags=["search"])


@router.post(
    "/search", openapi_extra=SEARCH_BODY, responses=CREATED | refusals(*UPLOADED, *UPSTREAM)
)
async def create_search(
    request: Request,
    service: ServiceDep,
    client: Admitted,
    idempotency_key: IdempotencyKey = None,
    cache_control: CacheControl = None,  # noqa: ARG001 - documented here, read with all of its lines
) -> SearchResult:
    """Search by image, and wait for the end."""
    opened = await _open_upload(request, service, client, key=idempotency_key, resumable=False)
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
    responses=STREAM | SEEN | refusals(*UPLOADED, SearchNotFound, *UPSTREAM),
)
async def stream_search(
    request: Request,
    service: ServiceDep,
    client: AdmittedOrResuming,
    last_event_id: LastEventId = None,
    idempotency_key: IdempotencyKey = None,
    cache_control: CacheControl = None,  # noqa: ARG001 - as above
) -> Response:
    """Search by image, and follow the events; an early failure has its own status."""
    if last_event_id:
        return _resume(request, service, client, last_event_id)
    opened = await _open_upload(request, service, client, key=idempotency_key, resumable=True)
    commit_s = service.settings.stream_commit_s
    return await _follow(request, service, opened, opened.reader.run.opened(commit_s))


@router.get(
    "/search/stream",
    response_class=EventStream,
    dependencies=[Depends(require_event_stream)],
    responses=STREAM | SEEN | refusals(*STARTED, NotAcceptable, SearchNotFound),
)
async def open_search_stream(
    request: Request,
    service: ServiceDep,
    client: AdmittedOrResumingReader,
    fields: Annotated[StreamQuery, Query()],
    last_event_id: LastEventId = None,  # noqa: ARG001 - may also stand in the query
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Do the same for `EventSource`, which can read no other status than 200."""
    if event_id := last_seen(request):
        return _resume(request, service, client, event_id)
    with service.intake.memory.hold(caller=client.name) as memory:
        opened = await _open(
            request, service, client, fields, [], memory, key=idempotency_key, resumable=True
        )
    return await _follow(request, service, opened, opened.reader.run.admitted())


async def find_run(
    request: Request,
    service: ServiceDep,
    client: Caller,
    search_id: Annotated[str, Path(description="Id of the search.")],
) -> Run:
    """The caller's search of this id."""
    return _find(request, service, client, search_id)


async def find_run_of_reader(
    request: Request,
    service: ServiceDep,
    client: Reader,
    search_id: Annotated[str, Path(description="Id of the search.")],
) -> Run:
    """Do the same where the URL may hold a token."""
    return _find(request, service, client, search_id)


FoundRun = Annotated[Run, Depends(find_run)]


@router.get("/search/{search_id}", responses=RESULT | refusals(*IDENTIFIED, SearchNotFound))
async def get_search(run: FoundRun) -> SearchResult:
    """Get what a search has found so far, or how it ended."""
    return run.result


@router.get(
    "/search/{search_id}/stream",
    response_class=EventStream,
    responses=STREAM | SEEN | refusals(*IDENTIFIED, SearchNotFound, InvalidRequest),
)
async def resume_search(
    request: Request,
    service: ServiceDep,
    run: Annotated[Run, Depends(find_run_of_reader)],
    after: Annotated[
        int, Query(ge=0, le=EVENT_NUMBER_MAX, description="How many events were seen already.")
    ] = 0,
    last_event_id: LastEventId = None,  # noqa: ARG001 - may also stand in the query
) -> Response:
    """Follow a search again: first what was missed, then live."""
    if event_id := last_seen(request):
        search_id, after = _parse(event_id)
        if search_id != run.id:
            raise SearchNotFound("This Last-Event-ID is of another search.")
    return _stream_from(request, service, run, after)


@router.delete("/search/{search_id}", responses=RESULT | refusals(*IDENTIFIED, SearchNotFound))
async def cancel_search(service: ServiceDep, run: FoundRun) -> SearchResult:
    """Stop a search; while other requests share it, only leave it."""
    if service.runs.cancel(run):
        await run.finished()
    return run.result


async def _open_upload(
    request: Request, service: Service, client: Client, *, key: str | None, resumable: bool
) -> Opened:
    """Read a body, and open its search; nothing of the body is held on to here afterwards."""
    limits = BodyLimits.of(service.settings)
    with service.intake.memory.hold(caller=client.name) as memory:
        match media_type_of(request):
            case "application/json":
                found = await read_json(request, limits, memory)
                fields = validated(SearchRequest, found, strict=True)
                found, files = {}, []
            case "multipart/form-data":
                found = await read_form(request, limits, memory)
                files = found.pop("image", [])
                fields = validated(TextFields, found, strict=False)
            case _:
                raise MalformedBody(f"The Content-Type must be {JSON} or {MULTIPART}.")
        return await _open(
            request, service, client, fields, files, memory, key=key, resumable=resumable
        )


async def _open(
    request: Request,
    service: Service,
    client: Client,
    fields: SearchRequest,
    files: list[bytes],
    memory: MemoryReservation,
    *,
    key: str | None,
    resumable: bool,
) -> Opened:
    """Check a search, prepare its images, and open it.

    Raises:
        ServiceError: It is refused.
        ClientDisconnect: The client left meanwhile: no search is started.
    """
    _check(fields, len(files), service)
    if fields.previous_response_id:
        service.guards.responses.check(fields.previous_response_id, client.name)
    spec = await wait_unless_disconnected(request, _spec(fields, files, client, service))
    # EventSource libraries send this header with every GET.
    no_cache = request.method == "POST" and "no-cache" in header_of(request, "cache-control")
    opened = service.searches.open(
        client,
        spec,
        memory=memory,
        key=key,
        fresh=bool(fields.fresh) or no_cache,
        resumable=resumable,
    )
    request.state.run = opened.reader.run
    request.state.headers["X-Cache"] = opened.cache
    return opened


def _check(fields: SearchRequest, n_files: int, service: Service) -> None:
    """Check what depends on the settings, before an image is looked at."""
    settings = service.settings
    n_images = n_files + len(fields.image_url)
    if n_images > settings.image_max_count:
        raise InvalidRequest.of(
            "image", f"At most {settings.image_max_count} images; {n_images} were given."
        )
    for name, text in (("prompt", fields.prompt), ("instructions", fields.instructions or "")):
        if 0 < settings.prompt_max_chars < len(text):
            raise InvalidRequest.of(name, f"May have {settings.prompt_max_chars} characters.")
    if fields.model is not None and fields.model not in settings.models:
        raise ModelNotAllowed(f"Not offered here. Offered are: {', '.join(settings.models)}.")
    if fields.previous_response_id and not settings.upstream_store:
        raise InvalidRequest.of(
            "previous_response_id", "Answers are not kept here, so none can be followed up."
        )
    if not (n_images or fields.previous_response_id):
        raise ImageMissing("Give an image: 'image_url', or a file in the multipart field 'image'.")


async def _spec(
    fields: SearchRequest, files: list[bytes], client: Client, service: Service
) -> SearchSpec:
    """Prepare every image, URLs first; a file is freed as soon as it is prepared."""
    images = [await service.intake.prepare_url(u, caller=client.name) for u in fields.image_url]
    while files:
        images.append(await service.intake.prepare(files.pop(0), caller=client.name))
    return SearchSpec(
        images=tuple(images),
        prompt=fields.prompt,
        model=fields.model or service.settings.model,
        instructions=fields.instructions,
        previous_response_id=fields.previous_response_id,
        max_output_tokens=fields.max_output_tokens,
        thinking=fields.thinking is not False,
    )


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
    search_id, number = _parse(event_id)
    return _stream_from(request, service, _find(request, service, client, search_id), number)


def _parse(event_id: str) -> tuple[str, int]:
    found = EVENT_ID.fullmatch(event_id)
    if found is None:
        raise SearchNotFound("This Last-Event-ID is none of this service's.")
    return found[1], int(found[2])


def _find(request: Request, service: Service, client: Client, search_id: str) -> Run:
    request.state.run = service.runs.find(client, search_id)
    run: Run = request.state.run
    return run


def _stream_from(request: Request, service: Service, run: Run, after: int) -> Response:
    if run.ended and after >= len(run.log.events):
        return Response(status_code=204)
    # With a number that was never given out a reader would miss the last event.
    seen = min(after, len(run.log.events))
    return _stream(request, service, run.read(resumable=True), after=seen)


def _stream(request: Request, service: Service, reader: Any, *, after: int) -> EventStream:
    settings, run = service.settings, reader.run
    prefix = request.scope.get("root_path", "")
    return EventStream(
        reader,
        after=after,
        encode=encoder_of(run.id),
        retry_ms=RETRY_MS,
        heartbeat_s=0 if settings.stream_progress_s else settings.stream_heartbeat_s,
        streams_open=service.metrics.streams_open,
        headers={"Location": f"{prefix}/search/{run.id}/stream"},
    )
