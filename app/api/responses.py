"""The `/v1` face: the Responses API as OpenAI's clients speak it, passed on to the upstream."""

import json
import re
from collections.abc import Iterator

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api.caller import admit_caller, identify
from app.api.leaving import CLIENT_GONE, came_before_caller_left, ended_before_caller_left
from app.api.repair import Repair
from app.api.request import idempotency_key
from app.api.responses_body import read_request
from app.api.responses_schemas import (
    CREATE_BODY,
    CREATED,
    PAGE_QUERY,
    DeletedBody,
    InputItemsBody,
    ModelsBody,
    ResponseBody,
)
from app.api.routing import RequestRoute
from app.api.service import service_of
from app.api.sse import LogStream, Show, frame
from app.errors import InvalidRequest, SearchNotFound
from app.models import Client, Event
from app.runs import Opened, Reader

RESPONSE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
PAGE_FIELDS = ("after", "limit", "order")
"""What the upstream documents for lists of input items."""

REPAIRS = {"openai": Repair}
"""What `X-Stream-Repair` may ask for: to put right what a client's helper cannot read."""

MODELS_OWNER = "system"
JSON = "application/json"
NO_STORE = {"Cache-Control": "no-store"}

router = APIRouter(route_class=RequestRoute, prefix="/v1")


@router.post(
    "/responses", response_model=ResponseBody, responses=CREATED, openapi_extra=CREATE_BODY
)
async def create(request: Request) -> Response:
    """Pass a request of the Responses API on, and its answer back, streamed or whole."""
    client = admit_caller(request)
    show = _shown(request)
    opened, streamed = await _open(request, client)
    if streamed:
        return await _follow(request, opened, show)
    return await _wait(request, opened)


@router.get("/responses/{response_id}", response_model=ResponseBody)
async def retrieve(request: Request, response_id: str) -> Response:
    """Read an answer that the upstream keeps."""
    if request.query_params.get("stream", "false") != "false":
        raise InvalidRequest.of(
            "stream", "An answer that is kept comes whole; it cannot be streamed again."
        )
    return await _fetch(request, response_id)


@router.delete("/responses/{response_id}", response_model=DeletedBody)
async def delete(request: Request, response_id: str) -> Response:
    """Have the upstream forget an answer."""
    return await _fetch(request, response_id)


@router.get(
    "/responses/{response_id}/input_items",
    response_model=InputItemsBody,
    openapi_extra=PAGE_QUERY,
)
async def input_items(request: Request, response_id: str) -> Response:
    """List what an answer was asked."""
    return await _fetch(request, response_id, "/input_items")


@router.get("/models", response_model=ModelsBody)
async def models(request: Request) -> Response:
    """List the models that may be named here."""
    identify(request)
    each = {"object": "model", "created": 0, "owned_by": MODELS_OWNER}
    listed = [{"id": name} | each for name in service_of(request).settings.models]
    return Response(json.dumps({"object": "list", "data": listed}), media_type=JSON)


async def _open(request: Request, client: Client) -> tuple[Opened, bool]:
    """Read the body and begin the call; the body is not held on to here while that lasts."""
    service, key = service_of(request), idempotency_key(request)
    with service.intake.memory.hold(caller=client.name) as held:
        asked = await read_request(request, client, held)
        return service.responses.open(client, asked, memory=held, key=key), asked.stream


async def _wait(request: Request, opened: Opened) -> Response:
    run = opened.reader.run
    try:
        if not await ended_before_caller_left(request, run):
            return Response(status_code=CLIENT_GONE)
        if run.error:
            raise run.error
        body = run.log.events[-1].data
        return Response(body, media_type=JSON, headers=NO_STORE | {"X-Cache": opened.cache})
    finally:
        opened.reader.close()


async def _follow(request: Request, opened: Opened, show: Show) -> Response:
    """Begin the stream once its status is known."""
    service, reader = service_of(request), opened.reader
    if not await _opened(request, reader, service.settings.stream_commit_s):
        return Response(status_code=CLIENT_GONE)
    return LogStream(
        reader,
        after=0,
        heartbeat_s=service.settings.stream_heartbeat_s,
        send_timeout_s=service.settings.stream_send_timeout_s,
        streams_open=service.metrics.streams_open,
        headers={"X-Cache": opened.cache},
        show=show,
    )


async def _opened(request: Request, reader: Reader, within_s: float) -> bool:
    """Wait for the status; let go of the run unless there is one and somebody to tell it."""
    opened = False
    try:
        opened = await came_before_caller_left(request, reader.run.opened(within_s))
    finally:
        if not opened:
            reader.close()
    return opened


def _shown(request: Request) -> Show:
    """How this caller wants events: as they came, or repaired; never those of our own."""
    wanted = request.headers.get("x-stream-repair")
    if wanted is None:
        return lambda event: iter(()) if event.own else frame(event)
    if wanted not in REPAIRS:
        raise InvalidRequest.of("X-Stream-Repair", f"May be one of: {', '.join(REPAIRS)}.")
    repair = REPAIRS[wanted]()

    def show(event: Event) -> Iterator[bytes]:
        for one in () if event.own else repair.mend(event):
            yield from frame(one)

    return show


async def _fetch(request: Request, response_id: str, tail: str = "") -> Response:
    """Ask the upstream about an answer of this caller's."""
    client = identify(request)
    if not RESPONSE_ID.fullmatch(response_id):
        raise SearchNotFound("No such response, or it is no longer kept.")
    query = request.query_params
    page = {name: query[name] for name in PAGE_FIELDS if tail and name in query}
    body = await service_of(request).responses.fetch(
        client, request.method, response_id, tail=tail, query=page
    )
    return Response(body, media_type=JSON, headers=NO_STORE)
