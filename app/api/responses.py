"""`/v1`: the Responses API as OpenAI's clients speak it, passed on to the upstream."""

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from app.api.bodies import JSON, read_json
from app.api.dependencies import Admitted, Caller, IdempotencyKey
from app.api.disconnects import wait_unless_disconnected
from app.api.events import ResponseEvent
from app.api.openapi import IDENTIFIED, UPLOADED, UPSTREAM, answer, body, events, openai_refusals
from app.api.repair import StreamRepair
from app.api.responses_body import ResponsesBody, prepare_request
from app.api.service import Service, ServiceDep
from app.api.sse import Encoder, EventStream, frame
from app.errors import InvalidRequest, SearchNotFound
from app.models import Client, Event
from app.results import ApiModel
from app.runs import Opened

RESPONSE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
RATE = ("X-Cache", "RateLimit", "RateLimit-Policy")
STORED = answer() | openai_refusals(*IDENTIFIED, SearchNotFound, InvalidRequest, *UPSTREAM)


class ResponseObject(BaseModel):
    """A response as the upstream sent it, with many more members; it may have forgotten the id."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"required": ["output"]}
    )

    id: str
    """Id of the response."""
    output: list[dict[str, Any]]
    """The output items."""


class DeletedResponse(BaseModel):
    """The upstream has forgotten a response."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Id of the response."""
    deleted: bool
    """Always true."""


class InputItems(BaseModel):
    """A page of the items that a response was made from."""

    model_config = ConfigDict(use_attribute_docstrings=True)

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
    """Always 0: not known."""
    owned_by: str = "system"
    """Always `system`."""


class Models(ApiModel):
    """The models that may be named here."""

    object: Literal["list"] = "list"
    """Always `list`."""
    data: list[Model]
    """The models."""


router = APIRouter(prefix="/v1", tags=["responses"])
ResponseId = Annotated[str, Path(description="Id of the response.")]
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
    repair: Annotated[
        Literal["openai"] | None,
        Header(alias="X-Stream-Repair", description="Put right what openai-node cannot read."),
    ] = None,
) -> Response:
    """Pass a request of the Responses API on, and its answer back, streamed or whole."""
    opened, streamed = await _open(request, service, client, idempotency_key)
    request.state.headers["X-Cache"] = opened.cache
    run, commit_s = opened.reader.run, service.settings.stream_commit_s
    try:
        known = run.opened(commit_s) if streamed else run.finished()
        await wait_unless_disconnected(request, known)
    except BaseException:
        opened.reader.close()
        raise
    if streamed:
        return EventStream(
            opened.reader,
            encode=_encoder(StreamRepair().apply if repair else lambda event: (event,)),
            heartbeat_s=service.settings.stream_heartbeat_s,
            streams_open=service.metrics.streams_open,
        )
    opened.reader.close()
    if run.error:
        raise run.error
    return Response(run.log.events[-1].data, media_type=JSON)


@router.get("/responses/{response_id}", responses=STORED, response_model=ResponseObject)
async def get_response(
    service: ServiceDep,
    client: Caller,
    response_id: ResponseId,
    stream: Annotated[Literal["false"] | None, Query(description="Only `false`.")] = None,
) -> Response:
    """Get a response that the upstream keeps."""
    del stream  # Anything else was refused.
    return await _fetch(service, client, "GET", response_id)


@router.delete("/responses/{response_id}", responses=STORED, response_model=DeletedResponse)
async def delete_response(service: ServiceDep, client: Caller, response_id: ResponseId) -> Response:
    """Have the upstream forget a response."""
    return await _fetch(service, client, "DELETE", response_id)


@router.get("/responses/{response_id}/input_items", responses=STORED, response_model=InputItems)
async def list_input_items(  # noqa: PLR0917 - FastAPI passes them by name
    service: ServiceDep,
    client: Caller,
    response_id: ResponseId,
    after: Annotated[str | None, Query(description="Id of the item to go on behind.")] = None,
    limit: Annotated[str | None, Query(description="Most items of a page, 1 to 100.")] = None,
    order: Annotated[str | None, Query(description="`asc` or `desc`.")] = None,
) -> Response:
    """List the items that a response was made from."""
    params = {"after": after, "limit": limit, "order": order}
    return await _fetch(service, client, "GET", response_id, tail="/input_items", **params)


@router.get("/models", responses=answer() | openai_refusals(*IDENTIFIED))
async def list_models(service: ServiceDep, _: Caller) -> Models:
    """List the models that may be named here."""
    return Models(data=[Model(id=name) for name in service.settings.models])


async def _open(
    request: Request, service: Service, client: Client, key: str | None
) -> tuple[Opened, bool]:
    """Read the body and begin the call; nothing of the body is held here afterwards."""
    with service.intake.memory.hold(caller=client.name) as memory:
        sent = await read_json(request, memory)
        preparing = prepare_request(sent, service, client, with_digest=key is not None)
        wanted = await wait_unless_disconnected(request, preparing)
        return service.responses.open(client, wanted, memory=memory, key=key), wanted.stream


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
    *,
    tail: str = "",
    **params: str | None,
) -> Response:
    """Ask the upstream about a response of this caller's."""
    if not RESPONSE_ID.fullmatch(response_id):
        raise SearchNotFound("No such response, or it is no longer kept.")
    given = {name: value for name, value in params.items() if value is not None}
    found = await service.responses.fetch(client, method, response_id, tail=tail, params=given)
    return Response(found, media_type=JSON)
