"""`/v1`: the Responses API as OpenAI's clients speak it, passed on to the upstream."""

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.api.bodies import BodyLimits, read_json
from app.api.dependencies import Admitted, Caller
from app.api.disconnects import wait_unless_disconnected
from app.api.events import ResponseEvent
from app.api.openapi import UPSTREAM, body, events, headers, openai_refusals
from app.api.repair import StreamRepair
from app.api.responses_body import ResponsesBody, prepare_request
from app.api.search import IDENTIFIED, UPLOADED, IdempotencyKey
from app.api.service import Service, ServiceDep
from app.api.sse import Encoder, EventStream, frame
from app.errors import InvalidRequest, SearchNotFound
from app.models import Client, Event
from app.results import ApiModel
from app.runs import Opened

RESPONSE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
JSON = "application/json"
RATE = ("X-Cache", "RateLimit", "RateLimit-Policy")
FETCHED = {200: {"headers": headers()}}
STORED = openai_refusals(*IDENTIFIED, SearchNotFound, InvalidRequest, *UPSTREAM)

StreamRepairHeader = Annotated[
    Literal["openai"] | None,
    Header(
        alias="X-Stream-Repair",
        description="`openai`: put right what openai-node's helper for streams cannot read.",
    ),
]
ResponseId = Annotated[str, Path(description="Id of the response.")]


class ResponseObject(BaseModel):
    """A response as the upstream gave it, with many more members."""

    id: str
    """Id of the response."""
    output: list[dict[str, Any]]
    """The output items."""


class DeletedResponse(BaseModel):
    """The upstream has forgotten a response."""

    id: str
    """Id of the response."""
    deleted: bool
    """Always true."""


class InputItems(BaseModel):
    """A page of the items that a response was made from."""

    data: list[dict[str, Any]]
    """The items."""
    has_more: bool
    """Whether there is another page."""


class Model(ApiModel):
    """A model that may be named here."""

    id: str
    """Its name."""
    object: Literal["model"] = "model"
    """Always `model`."""
    created: int = 0
    """Always 0."""
    owned_by: str = "system"
    """Always `system`."""


class Models(ApiModel):
    """The models that may be named here."""

    object: Literal["list"] = "list"
    """Always `list`."""
    data: list[Model]
    """The models."""


router = APIRouter(prefix="/v1", tags=["responses"])

CREATED = events(ResponseEvent, *RATE)
CREATED[200]["model"] = ResponseObject


@router.post(
    "/responses",
    openapi_extra=body(json=ResponsesBody),
    responses=CREATED | openai_refusals(*UPLOADED, *UPSTREAM),
)
async def create_response(
    request: Request,
    service: ServiceDep,
    client: Admitted,
    idempotency_key: IdempotencyKey = None,
    repair: StreamRepairHeader = None,
) -> Response:
    """Pass a request of the Responses API on, and its answer back, streamed or whole."""
    opened, streamed = await _open(request, service, client, key=idempotency_key)
    request.state.headers["X-Cache"] = opened.cache
    if not streamed:
        return await _wait(request, opened)
    try:
        opening = opened.reader.run.opened(service.settings.stream_commit_s)
        await wait_unless_disconnected(request, opening)
    except BaseException:
        opened.reader.close()
        raise
    return EventStream(
        opened.reader,
        encode=_encoder(StreamRepair().apply if repair else lambda event: (event,)),
        heartbeat_s=service.settings.stream_heartbeat_s,
        streams_open=service.metrics.streams_open,
    )


@router.get("/responses/{response_id}", responses=FETCHED | STORED, response_model=ResponseObject)
async def get_response(
    service: ServiceDep,
    client: Caller,
    response_id: ResponseId,
    stream: Annotated[Literal["false"] | None, Query(description="Only `false`.")] = None,  # noqa: ARG001 - refused unless false
) -> Response:
    """Get a response that the upstream keeps."""
    return await _fetch(service, client, "GET", response_id)


@router.delete(
    "/responses/{response_id}", responses=FETCHED | STORED, response_model=DeletedResponse
)
async def delete_response(service: ServiceDep, client: Caller, response_id: ResponseId) -> Response:
    """Have the upstream forget a response."""
    return await _fetch(service, client, "DELETE", response_id)


@router.get(
    "/responses/{response_id}/input_items", responses=FETCHED | STORED, response_model=InputItems
)
async def list_input_items(
    service: ServiceDep,
    client: Caller,
    response_id: ResponseId,
    after: Annotated[str | None, Query(description="Id of the item to go on behind.")] = None,
    limit: Annotated[str | None, Query(description="Most items of a page, 1 to 100.")] = None,
    order: Annotated[str | None, Query(description="`asc` or `desc`.")] = None,
) -> Response:
    """List the items that a response was made from."""
    given = {"after": after, "limit": limit, "order": order}
    params = {name: value for name, value in given.items() if value is not None}
    return await _fetch(service, client, "GET", response_id, "/input_items", params)


@router.get("/models", responses=FETCHED | openai_refusals(*IDENTIFIED))
async def list_models(service: ServiceDep, client: Caller) -> Models:  # noqa: ARG001 - callers only
    """List the models that may be named here."""
    return Models(data=[Model(id=name) for name in service.settings.models])


async def _open(
    request: Request, service: Service, client: Client, *, key: str | None
) -> tuple[Opened, bool]:
    """Read the body and begin the call; nothing of the body is held on to here afterwards."""
    with service.intake.memory.hold(caller=client.name) as memory:
        found = await read_json(request, BodyLimits.of(service.settings), memory)
        preparing = prepare_request(found, service, client, with_digest=key is not None)
        wanted = await wait_unless_disconnected(request, preparing)
        opened = service.responses.open(client, wanted, memory=memory, key=key)
        return opened, wanted.stream


async def _wait(request: Request, opened: Opened) -> Response:
    run = opened.reader.run
    try:
        await wait_unless_disconnected(request, run.finished())
    finally:
        opened.reader.close()
    if run.error:
        raise run.error
    return Response(run.log.events[-1].data, media_type=JSON)


def _encoder(shown: Callable[[Event], Iterable[Event]]) -> Encoder:
    """Frames without ids, of the upstream's events only."""

    def encode(event: Event, _: int) -> Iterable[bytes]:
        if event.is_synthetic:
            return ()
        return [piece for one in shown(event) for piece in frame(one)]

    return encode


async def _fetch(
    service: Service,
    client: Client,
    method: str,
    response_id: str,
    tail: str = "",
    params: dict[str, str] | None = None,
) -> Response:
    """Ask the upstream about a response of this caller's."""
    if not RESPONSE_ID.fullmatch(response_id):
        raise SearchNotFound("No such response, or it is no longer kept.")
    found = await service.responses.fetch(
        client, method, response_id, tail=tail, params=params or {}
    )
    return Response(found, media_type=JSON)
