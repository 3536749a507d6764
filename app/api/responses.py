"""`/v1`: the Responses API as OpenAI's clients speak it, passed on to the upstream."""

from collections.abc import Coroutine
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.api.bodies import JSON, read_json
from app.api.dependencies import Admitted, Caller, Counted, IdempotencyKey
from app.api.disconnects import wait_unless_disconnected
from app.api.events import ResponseEvent
from app.api.openapi import IDENTIFIED, UPLOADED, UPSTREAM, answer, body, events, refusals
from app.api.repair import StreamRepair
from app.api.responses_body import ResponsesBody, prepare_request
from app.api.schemas import OpenAIError
from app.api.service import Service, ServiceDep
from app.api.sse import EventStream, frame
from app.errors import InvalidRequest, Overloaded, RateLimited, SearchNotFound
from app.models import Client
from app.results import ApiModel
from app.runs import Opened

Json = dict[str, Any]


class ResponseObject(BaseModel, use_attribute_docstrings=True):
    """A response as the upstream sent it, with many more members; it may have forgotten the id."""

    id: str | None = None
    """Id of the response."""
    output: list[Json]
    """The output items."""


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
refused = partial(refusals, model=OpenAIError)
ResponseId = Annotated[str, Path(description="Id of the response.")]
CREATED = events(ResponseEvent, "X-Cache", "RateLimit", "RateLimit-Policy")
CREATED[200]["model"] = ResponseObject
STORED = answer("RateLimit", "RateLimit-Policy") | refused(
    *(*IDENTIFIED, RateLimited, Overloaded, SearchNotFound, InvalidRequest), *UPSTREAM
)


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
    repair: Annotated[
        Literal["openai"] | None,
        Header(alias="X-Stream-Repair", description="Put right what openai-node cannot read."),
    ] = None,
) -> Response:
    """Pass a request of the Responses API on, and its answer back, streamed or whole."""
    opened, streamed = await _open(request, service, client, idempotency_key)
    request.state.headers["X-Cache"] = opened.cache
    run, settings = opened.reader.run, service.settings
    try:
        known = run.opened(settings.stream_commit_s) if streamed else run.finished()
        await wait_unless_disconnected(request, known)
    except BaseException:
        opened.reader.close()
        raise
    if streamed:
        return EventStream(
            opened.reader,
            encode=StreamRepair().encode if repair else lambda event, _: frame(event),
            heartbeat_s=settings.stream_heartbeat_s,
            streams_open=service.metrics.streams_open,
        )
    opened.reader.close()
    if run.error:
        raise run.error
    return Response(run.log.events[-1].data, media_type=JSON)


@router.get("/responses/{response_id}", responses=STORED, response_model=ResponseObject)
async def get_response(
    request: Request,
    service: ServiceDep,
    client: Counted,
    response_id: ResponseId,
    _: Annotated[
        Literal["false"] | None, Query(alias="stream", description="Only `false`.")
    ] = None,
) -> Response:
    """Get a response that the upstream keeps."""
    return await _fetch(request, service.responses.fetch(client, "GET", response_id))


@router.delete("/responses/{response_id}", responses=STORED, response_model=Json)
async def delete_response(
    request: Request, service: ServiceDep, client: Counted, response_id: ResponseId
) -> Response:
    """Have the upstream forget a response."""
    return await _fetch(request, service.responses.fetch(client, "DELETE", response_id))


@router.get("/responses/{response_id}/input_items", responses=STORED, response_model=Json)
async def list_input_items(  # noqa: PLR0917 - FastAPI passes them by name
    request: Request,
    service: ServiceDep,
    client: Counted,
    response_id: ResponseId,
    after: Annotated[str | None, Query(description="Id of the item to go on behind.")] = None,
    limit: Annotated[str | None, Query(description="Most items of a page, 1 to 100.")] = None,
    order: Annotated[str | None, Query(description="`asc` or `desc`.")] = None,
) -> Response:
    """List the items that a response was made from."""
    page = {"after": after, "limit": limit, "order": order}
    params = {name: value for name, value in page.items() if value is not None}
    items = service.responses.fetch(client, "GET", response_id, tail="/input_items", params=params)
    return await _fetch(request, items)


async def _fetch(request: Request, fetching: Coroutine[Any, Any, bytes]) -> Response:
    """What the upstream says; the call ends with its caller."""
    return Response(await wait_unless_disconnected(request, fetching), media_type=JSON)


@router.get("/models", responses=answer() | refused(*IDENTIFIED))
async def list_models(service: ServiceDep, _: Caller) -> Models:
    """List the models that may be named here."""
    return Models(data=[Model(id=name) for name in service.settings.models])


async def _open(
    request: Request, service: Service, client: Client, key: str | None
) -> tuple[Opened, bool]:
    """Read the body and begin the call; nothing of the body is held here afterwards."""
    with service.intake.memory.hold(caller=client.name) as memory:
        sent = await read_json(request, memory)
        wanted = await wait_unless_disconnected(request, prepare_request(sent, service, client))
        return service.responses.open(client, wanted, memory=memory, key=key), wanted.stream
