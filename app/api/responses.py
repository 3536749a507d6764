"""`/v1`: the Responses API as OpenAI's clients speak it, passed on to the upstream."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from app import telemetry
from app.api.bodies import JSON, read_json
from app.api.dependencies import Admitted, Caller, Counted, IdempotencyKey
from app.api.disconnects import wait_as_reader, wait_unless_disconnected
from app.api.events import ResponseEvent
from app.api.openapi import IDENTIFIED, UPLOADED, UPSTREAM, answer, body, events, refusals
from app.api.repair import StreamRepair
from app.api.responses_body import ResponsesBody, prepare_request
from app.api.schemas import OpenAIError
from app.api.service import Service, ServiceDep
from app.api.sse import EventStream, frame
from app.errors import InvalidRequest, Overloaded, RateLimited, RouteNotFound, SearchNotFound
from app.models import Client, json_bytes
from app.responses import name_of
from app.results import ApiModel
from app.runs import Opened, Reader, Run
from app.upstream.response_object import events_until, response_so_far

Json = dict[str, Any]


class ResponseObject(BaseModel):
    """A response as the upstream sent it, with many more members; it may have forgotten the id."""

    id: str | None = Field(default=None, description="Id of the response.")
    output: list[Json] = Field(description="The output items.")


class Model(ApiModel):
    """A model that may be named here."""

    id: str = Field(description="Its name.")
    object: Literal["model"] = Field(default="model", description="Always `model`.")
    created: int = Field(default=0, description="Always 0: not known.")
    owned_by: str = Field(default="system", description="Always `system`.")


class Models(ApiModel):
    """The models that may be named here."""

    object: Literal["list"] = Field(default="list", description="Always `list`.")
    data: list[Model] = Field(description="The models.")


class Following(BaseModel):
    """Whether and from where events are wanted."""

    stream: bool = Field(default=False, description="Whether to answer with the events.")
    starting_after: int = Field(
        default=-1, description="`sequence_number` of the last event that was seen."
    )


class Page(BaseModel):
    """Which items of a list are wanted."""

    after: str | None = Field(default=None, description="Id of the item to go on behind.")
    limit: str | None = Field(default=None, description="Most items of a page, 1 to 100.")
    order: str | None = Field(default=None, description="`asc` or `desc`.")


router = APIRouter(prefix="/v1", tags=["responses"])
refused = partial(refusals, model=OpenAIError)
ResponseId = Annotated[str, Path(description="Id of the response.")]
Repair = Annotated[
    Literal["openai"] | None,
    Header(alias="X-Stream-Repair", description="Put right what openai-node cannot read."),
]
RATE = ("RateLimit", "RateLimit-Policy")
CREATED = events(ResponseEvent, "X-Cache", "Server-Timing", *RATE)
CREATED[200]["model"] = ResponseObject
STORED = answer(*RATE) | refused(
    *(*IDENTIFIED, SearchNotFound, InvalidRequest, RateLimited, Overloaded, *UPSTREAM)
)

FOLLOWED = STORED | events(ResponseEvent, *RATE)
FOLLOWED[200]["model"] = ResponseObject


@router.post(
    "/responses",
    openapi_extra=body(json=ResponsesBody),
    responses=CREATED | refused(*UPLOADED, *UPSTREAM),
)
async def create_response(
    request: Request,
    service: ServiceDep,
    client: Admitted,
    idempotency_key: IdempotencyKey = None,
    repair: Repair = None,
) -> Response:
    """Pass a request of the Responses API on, and its answer back, streamed or whole."""
    opened, streamed = await _open(request, service, client, idempotency_key)
    request.state.headers["X-Cache"] = opened.cache
    reader, run = opened.reader, opened.reader.run
    if streamed or reader.background:
        within_s = service.settings.stream_commit_s if streamed else None
        await wait_as_reader(request, reader, run.first_event(within_s))
    else:
        await wait_as_reader(request, reader, run.finished())
    if streamed:
        return _stream(service, reader, repair)
    reader.close()
    if reader.background:
        return _json(_so_far(run))
    if run.error:
        raise run.error
    return _json(run.log.events[-1].data)


@router.get("/responses/{response_id}", responses=FOLLOWED, response_model=ResponseObject)
async def get_response(
    request: Request,
    service: ServiceDep,
    client: Counted,
    response_id: ResponseId,
    fields: Annotated[Following, Query()],
    *,
    repair: Repair = None,
) -> Response:
    """Get a response that the upstream keeps or, while it is made, follow its events again."""
    run = await service.runs.find_named(client, name_of(response_id))
    if fields.stream:
        if run is None:
            raise SearchNotFound("The events of this response are not kept; ask without 'stream'.")
        service.metrics.resumes.labels(run.source).inc()
        after = events_until(run.log.events, fields.starting_after)
        return _stream(service, run.read(resumable=False), repair, after)
    if run:
        return _json(_so_far(run))
    fetching = service.responses.fetch(client, "GET", response_id)
    return _json(await wait_unless_disconnected(request, fetching))


@router.post("/responses/{response_id}/cancel", responses=STORED, response_model=ResponseObject)
async def cancel_response(
    service: ServiceDep, client: Counted, response_id: ResponseId
) -> Response:
    """Stop a response that is being made."""
    run = await service.runs.find_named(client, name_of(response_id))
    if run is None:
        raise SearchNotFound("No such response, or it has ended.")
    if await service.runs.cancel(run):
        await run.finished()
    return _json(_so_far(run))


@router.delete("/responses/{response_id}", responses=STORED, response_model=Json)
async def delete_response(
    request: Request, service: ServiceDep, client: Counted, response_id: ResponseId
) -> Response:
    """Have the upstream forget a response."""
    fetching = service.responses.fetch(client, "DELETE", response_id)
    return _json(await wait_unless_disconnected(request, fetching))


@router.get("/responses/{response_id}/input_items", responses=STORED, response_model=Json)
async def list_input_items(
    request: Request,
    service: ServiceDep,
    client: Counted,
    response_id: ResponseId,
    page: Annotated[Page, Query()],
) -> Response:
    """List the items that a response was made from."""
    wanted = page.model_dump(exclude_none=True)
    fetching = service.responses.fetch(client, "GET", response_id, "/input_items", **wanted)
    return _json(await wait_unless_disconnected(request, fetching))


@router.get("/models", responses=answer() | refused(*IDENTIFIED))
async def list_models(service: ServiceDep, _: Caller) -> Models:
    """List the models that may be named here."""
    return Models(data=[Model(id=name) for name in service.settings.models])


@router.get("/models/{model}", responses=answer() | refused(*IDENTIFIED, RouteNotFound))
async def get_model(
    service: ServiceDep, _: Caller, model: Annotated[str, Path(description="Its name.")]
) -> Model:
    """Get one of the models that may be named here."""
    if model not in service.settings.models:
        raise RouteNotFound("This model is not offered.")
    return Model(id=model)


async def _open(
    request: Request, service: Service, client: Client, key: str | None
) -> tuple[Opened, bool]:
    """Read the body and begin the call; nothing of the body is held here afterwards."""
    with service.intake.memory.hold(caller=client.name) as memory:
        sent = await read_json(request, memory)
        wanted = await wait_unless_disconnected(request, prepare_request(sent, service, client))
        telemetry.lap("intake")
        opened = await service.responses.open(client, wanted, memory=memory, key=key)
    return opened, wanted.stream


def _stream(service: Service, reader: Reader, repair: str | None, after: int = 0) -> EventStream:
    mended = StreamRepair()
    for event in reader.run.log.events[:after] if repair else ():
        mended.apply(event)
    return EventStream(
        reader,
        after=after,
        encode=mended.encode if repair else lambda event, _: frame(event),
        heartbeat_s=service.settings.stream_heartbeat_s,
        streams_open=service.metrics.streams_open,
    )


def _so_far(run: Run) -> bytes:
    return json_bytes(response_so_far(run.log.events))


def _json(text: bytes) -> Response:
    return Response(text, media_type=JSON)
