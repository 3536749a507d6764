"""The endpoints of a search: wait for it, stream it, come back to it, stop it."""

import asyncio
import re
from contextlib import closing
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from app import telemetry
from app.api import bodies, dependencies
from app.api.dependencies import Admitted, ByUrl, Call, IdempotencyKey, Identified, LastEventId
from app.api.openapi import IDENTIFIED, STARTED, UPLOADED, UPSTREAM, answer, body, events, refusals
from app.api.problems import JSON
from app.api.schemas import SearchForm, SearchRequest, StreamEvent, StreamQuery, TextFields
from app.api.sse import EventStream, unless_disconnected
from app.errors import ImageMissing, InvalidRequest, MalformedBody, NotAcceptable, SearchNotFound
from app.images.memory import MemoryReservation
from app.models import ResponsesRequest, digest_of
from app.results import SearchResult
from app.runs.local import OpenRequest
from app.runs.run import Reader, Run
from app.search import Search, result_of
from app.upstream.client import search_request

EVENT_ID = re.compile(r"(srch_[0-9a-f]{32}):(0|[1-9]\d{0,10})")  # Of a search, and its number.

STARTED_HEADERS = ("X-Search-ID", "X-Cache", "RateLimit", "RateLimit-Policy", "Server-Timing")
SEARCH_BODY = body(json=SearchRequest, form=SearchForm)
ACCEPTED = answer(
    *("Location", "Preference-Applied", "X-Search-ID"),
    status=202,
    description="It goes on in the background; this is what has come so far.",
    model=SearchResult,
)
CREATED_ANSWERS = answer(*STARTED_HEADERS) | ACCEPTED | refusals(*UPLOADED, *UPSTREAM)
STREAM_ANSWERS = events(StreamEvent, "Location", *STARTED_HEADERS) | answer(
    status=204, description="The search has ended and its last event was seen."
)
STREAMED = STREAM_ANSWERS | refusals(*UPLOADED, SearchNotFound, *UPSTREAM)
RESUMED = STREAM_ANSWERS | refusals(*IDENTIFIED, SearchNotFound, InvalidRequest)
FOUND = answer("X-Search-ID") | refusals(*IDENTIFIED, SearchNotFound)

SearchId = Annotated[str, Path(description="Id of the search.")]
After = Annotated[int, Query(ge=0, le=1_000_000_000, description="How many events were seen.")]

router = APIRouter(tags=["search"])


@router.post("/search", openapi_extra=SEARCH_BODY, responses=CREATED_ANSWERS)
async def create_search(
    call: Admitted, response: Response, key: IdempotencyKey = None, _: dependencies.Prefer = None
) -> SearchResult:
    """Search by image, and wait for the end, or with `background` only for the start."""
    receive, headers = call.request.receive, call.request.state.headers
    wait_s = call.preferred_wait_s()
    with closing(await _open_body(call, key, resumable=False)) as reader:
        run = reader.run
        async with unless_disconnected(receive):
            if reader.background:
                await run.admitted()
            await run.finished((wait_s or 0) if reader.background else None)
    if run.error:
        raise run.error
    if not run.ended:
        response.status_code = 202
        headers["Location"] = call.address_of(run)
    if wait_s is not None:
        headers["Preference-Applied"] = "respond-async" + (f", wait={wait_s}" if wait_s else "")
    return result_of(run)


@router.post(
    "/search/stream", response_class=EventStream, openapi_extra=SEARCH_BODY, responses=STREAMED
)
async def stream_search(
    call: Identified, key: IdempotencyKey = None, last_event_id: LastEventId = None
) -> Response:
    """Search by image, and follow the events; an early failure has its own status."""
    if last_event_id:
        return await _resume(call, last_event_id)
    reader = await _open_body(await dependencies.admit(call), key)
    return EventStream(call, reader, commit_s=call.service.settings.stream_commit_s)


@router.get(
    "/search/stream",
    response_class=EventStream,
    dependencies=[Depends(dependencies.require_event_stream)],
    responses=STREAM_ANSWERS | refusals(*STARTED, NotAcceptable, SearchNotFound),
)
async def open_search_stream(
    call: ByUrl,
    fields: Annotated[StreamQuery, Query()],
    *,
    key: IdempotencyKey = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Do the same for `EventSource`, which can read no other status than 200."""
    if event_id := last_event_id or fields.last_event_id:
        return await _resume(call, event_id)
    await dependencies.admit(call)
    with call.hold_memory() as memory:
        reader = await open_search(call, key, fields, [], memory=memory)
    return EventStream(call, reader, commit_s=0)


@router.get("/search/{search_id}", responses=FOUND)
async def get_search(call: Identified, search_id: SearchId) -> SearchResult:
    """Get what a search has found so far, or how it ended."""
    # In a thread: thousands of deltas take longer than other streams may wait.
    return await asyncio.to_thread(result_of, await _find(call, search_id))


@router.get("/search/{search_id}/stream", response_class=EventStream, responses=RESUMED)
async def resume_search(
    call: ByUrl, search_id: SearchId, after: After = 0, last_event_id: LastEventId = None
) -> Response:
    """Follow a search again: first what was missed, then live."""
    last_seen = last_event_id or call.request.query_params.get("lastEventId")
    return await _resume(call, last_seen or f"{search_id}:{after}", of=search_id)


@router.delete("/search/{search_id}", responses=FOUND)
async def cancel_search(call: Identified, search_id: SearchId) -> SearchResult:
    """Stop a search; while other requests share it, only leave it."""
    run = await _find(call, search_id)
    if await run.cancel():
        await run.finished()
    return result_of(run)


async def open_search(
    call: Call,
    key: str | None,
    fields: SearchRequest,
    files: list[bytes],
    *,
    memory: MemoryReservation,
    resumable: bool = True,
) -> Reader:
    """Open the search for what is asked; whoever calls it holds nothing of that afterwards."""
    request = call.request
    async with unless_disconnected(request.receive):
        wanted = await _prepare(call, fields, files)
    telemetry.lap("intake")
    # EventSource libraries send this header too, but by GET only.
    no_cache = "no-cache" in dependencies.header_of(request, "cache-control")
    reader = await call.open(
        OpenRequest(
            owner=call.client,
            fingerprint=digest_of(call.client.name, wanted.digest),
            start=partial(Search, call.service, call.client, wanted, memory),
            key=key,
            fresh=bool(fields.fresh) or (no_cache and request.method == "POST"),
            resumable=resumable,
            background=bool(fields.background) or call.preferred_wait_s() is not None,
            progress_s=call.service.settings.stream_progress_s,
        )
    )
    request.state.run = reader.run
    return reader


async def _open_body(call: Call, key: str | None, *, resumable: bool = True) -> Reader:
    media_type, files = bodies.media_type_of(call.request), list[bytes]()
    with call.hold_memory() as memory:
        if media_type == JSON:
            fields = bodies.validated(SearchRequest, await bodies.read_json(call, memory))
        elif media_type == bodies.MULTIPART:
            form = await bodies.read_form(call, memory)
            files = form.pop("image", [])
            fields = bodies.validated(TextFields, form)
        else:
            raise MalformedBody(f"The Content-Type must be {JSON} or {bodies.MULTIPART}.")
        return await open_search(call, key, fields, files, memory=memory, resumable=resumable)


async def _prepare(call: Call, fields: SearchRequest, files: list[bytes]) -> ResponsesRequest:
    """Check all that can be refused before an image is looked at, then prepare the images."""
    intake, client = call.service.intake, call.client
    model, follows = fields.model or call.service.settings.model, fields.previous_response_id
    n_images = len(fields.image_url) + len(files)
    texts = {"prompt": fields.prompt, "instructions": fields.instructions}
    await call.check(model=model, follows=follows, n_images=n_images, field="image", **texts)
    if not (n_images or follows):
        raise ImageMissing("Give an image: 'image_url', or a file in the multipart field 'image'.")
    images = [await intake.prepare_url(url, caller=client.name) for url in fields.image_url]
    while files:  # Each is freed as soon as it is prepared.
        images.append(await intake.prepare(files.pop(0), caller=client.name))
    return search_request(
        images,
        fields.prompt,
        model=model,
        store=call.service.settings.upstream_store,
        thinking=fields.thinking is not False,
        **fields.model_dump(include={"instructions", "previous_response_id", "max_output_tokens"}),
    )


async def _resume(call: Call, event_id: str, *, of: str | None = None) -> Response:
    """Continue after the last event that a reader has seen; nothing is paid for again."""
    seen = EVENT_ID.fullmatch(event_id)
    if not seen or seen[1] != (of or seen[1]):
        raise SearchNotFound("This is no id of an event of this search.")
    run, after = await _find(call, seen[1]), int(seen[2])
    if run.ended and after >= run.last_number:
        return Response(status_code=204)
    if run.ended or run.source == "memory":
        # Not beyond what was given out; of another replica's run that may be more than is here.
        after = min(after, len(run.log.events))
    call.service.metrics.resumes.labels(run.source).inc()
    return EventStream(call, run.read(resumable=True), after=after)


async def _find(call: Call, search_id: str) -> Run:
    call.request.state.run = run = await call.service.runs.find(call.client, search_id)
    return run
