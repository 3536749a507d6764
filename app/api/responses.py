"""`/v1`: the Responses API as OpenAI's clients speak it, passed on to the upstream."""

import secrets
from contextlib import closing
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from app import telemetry
from app.api.bodies import read_json
from app.api.dependencies import Admitted, Call, Counted, IdempotencyKey, Identified
from app.api.openapi import IDENTIFIED, UPLOADED, UPSTREAM, answer, body, events, refusals
from app.api.problems import JSON
from app.api.responses_body import ResponsesBody, prepare_request
from app.api.schemas import OpenAIError, ResponseEvent
from app.api.sse import EventStream, frame, unless_disconnected
from app.errors import InvalidRequest, RateLimited, RouteNotFound, SearchNotFound
from app.models import Event, digest_of, json_bytes
from app.responses import ResponsesCall, name_of
from app.results import ApiModel
from app.runs.local import OpenRequest
from app.runs.run import Reader, Run
from app.upstream.answer import ITEM_ADDED, events_until, response_so_far
from app.upstream.lenient import Json, as_object, as_text, parse_object

CONTENT = ("response.content_part.added", "reasoning_text", "content_index")
SUMMARY = ("response.reasoning_summary_part.added", "summary_text", "summary_index")
PARTS = {  # The part that an event needs: its announcement, type, and the member that numbers it.
    CONTENT[0]: CONTENT,
    SUMMARY[0]: SUMMARY,
    "response.reasoning_text.delta": CONTENT,
    "response.reasoning_text.done": CONTENT,
    "response.reasoning_summary_text.delta": SUMMARY,
    "response.reasoning_summary_text.done": SUMMARY,
}


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


class Page(BaseModel):
    """Which items of a list are wanted."""

    after: str | None = Field(default=None, description="Id of the last item already seen.")
    limit: str | None = Field(default=None, description="Most items of a page, 1 to 100.")
    order: str | None = Field(default=None, description="`asc` or `desc`.")


router = APIRouter(prefix="/v1", tags=["responses"])
refused = partial(refusals, model=OpenAIError)
JsonResponse = partial(Response, media_type=JSON)
ResponseId = Annotated[str, Path(description="Id of the response.")]
ModelName = Annotated[str, Path(description="Its name.")]
SequenceNumber = Annotated[
    int | None, Query(description="`sequence_number` of the last event seen.")
]
Repair = Annotated[
    Literal["openai"] | None,
    Header(alias="X-Stream-Repair", description="Put right what openai-node cannot read."),
]
RATE = ("RateLimit", "RateLimit-Policy")
CREATED_ANSWERS = events(ResponseEvent, "X-Cache", "Server-Timing", *RATE, model=ResponseObject)
CREATED_ANSWERS |= refused(*UPLOADED, *UPSTREAM)
STORED = refused(*IDENTIFIED, SearchNotFound, InvalidRequest, RateLimited, *UPSTREAM)
STORED |= answer(*RATE)
FOLLOWED = STORED | events(ResponseEvent, *RATE, model=ResponseObject)


@router.post("/responses", openapi_extra=body(json=ResponsesBody), responses=CREATED_ANSWERS)
async def create_response(
    call: Admitted, key: IdempotencyKey = None, repair: Repair = None
) -> Response:
    """Pass a request of the Responses API on, and its answer back, streamed or whole."""
    reader, streamed = await _open(call, key)
    run = reader.run
    if streamed:
        return _stream(call, reader, repair, commit_s=call.service.settings.stream_commit_s)
    with closing(reader):
        async with unless_disconnected(call.request.receive):
            await (run.first_event(None) if reader.background else run.finished())
    if reader.background:
        return _so_far(run)
    if run.error:
        raise run.error
    return JsonResponse(run.log.events[-1].data)


@router.get("/responses/{response_id}", responses=FOLLOWED, response_model=ResponseObject)
async def get_response(
    call: Counted,
    response_id: ResponseId,
    *,
    stream: Annotated[bool, Query(description="Whether to answer with the events.")] = False,
    starting_after: SequenceNumber = None,
    repair: Repair = None,
) -> Response:
    """Get a response that the upstream keeps or, while it is made, follow its events again."""
    run = await call.service.runs.find_named(call.client, name_of(response_id))
    if stream:
        if run is None:
            raise SearchNotFound("The events of this response are not kept; ask without 'stream'.")
        call.service.metrics.resumes.labels(run.source).inc()
        after = 0 if starting_after is None else events_until(run.log.events, starting_after)
        return _stream(call, run.read(resumable=False), repair, after=after)
    return _so_far(run) if run else await _fetch(call, "GET", response_id)


@router.post("/responses/{response_id}/cancel", responses=STORED, response_model=ResponseObject)
async def cancel_response(call: Counted, response_id: ResponseId) -> Response:
    """Stop a response that is being made."""
    run = await call.service.runs.find_named(call.client, name_of(response_id))
    if run is None:
        raise SearchNotFound("No such response, or it has ended.")
    if await run.cancel():
        await run.finished()
    return _so_far(run)


@router.delete("/responses/{response_id}", responses=STORED, response_model=Json)
async def delete_response(call: Counted, response_id: ResponseId) -> Response:
    """Delete a response at the upstream."""
    return await _fetch(call, "DELETE", response_id)


@router.get("/responses/{response_id}/input_items", responses=STORED, response_model=Json)
async def list_input_items(
    call: Counted, response_id: ResponseId, page: Annotated[Page, Query()]
) -> Response:
    """List the items that a response was made from."""
    params = page.model_dump(exclude_none=True)
    return await _fetch(call, "GET", response_id, "/input_items", **params)


@router.get("/models", responses=answer() | refused(*IDENTIFIED))
async def list_models(call: Identified) -> Models:
    """List the models that may be named here."""
    return Models(data=[Model(id=name) for name in call.service.settings.models])


@router.get("/models/{model}", responses=answer() | refused(*IDENTIFIED, RouteNotFound))
async def get_model(call: Identified, model: ModelName) -> Model:
    """Get one of the models that may be named here."""
    if model not in call.service.settings.models:
        raise RouteNotFound("This model is not offered.")
    return Model(id=model)


async def _open(call: Call, key: str | None) -> tuple[Reader, bool]:
    """Read the body and begin the call, streamed or not; nothing of the body is held afterwards."""
    with call.hold_memory() as memory:
        fields = await read_json(call, memory)
        streamed = fields.get("stream") is True
        async with unless_disconnected(call.request.receive):
            wanted = await prepare_request(call, fields)
        telemetry.lap("intake")
        # Nobody joins such a run, except by repeating its key.
        name, secret = call.client.name, key or secrets.token_hex()
        open_request = OpenRequest(
            owner=call.client,
            fingerprint=digest_of("/v1", name, secret, wanted.digest),
            start=partial(ResponsesCall, call.service, call.client, wanted, memory),
            key=key,
            resumable=False,
            listed=False,
            background=wanted.background,
        )
        return await call.open(open_request), streamed


def _stream(
    call: Call, reader: Reader, repair: str | None, *, after: int = 0, commit_s: float | None = None
) -> EventStream:
    stream_repair = StreamRepair()
    if repair:
        for event in reader.run.log.events[:after]:
            stream_repair.apply(event)
    encode = stream_repair.encode if repair else lambda event, _: frame(event)
    return EventStream(call, reader, encode=encode, after=after, commit_s=commit_s)


async def _fetch(
    call: Call, method: str, response_id: str, tail: str = "", **params: str
) -> Response:
    """Ask about an answer that the upstream keeps; `SearchNotFound` also for another's."""
    service = call.service
    async with unless_disconnected(call.request.receive):
        try:
            await service.guards.responses.check(response_id, call.client.name)
        except InvalidRequest as exc:
            raise SearchNotFound("No such response, or it is no longer kept.") from exc
        async with service.guards.place():
            path = f"/responses/{response_id}{tail}"
            return JsonResponse(await service.upstream.fetch(method, path, params))


def _so_far(run: Run) -> Response:
    return JsonResponse(json_bytes(response_so_far(run.log.events)))


class StreamRepair:
    """Puts right what makes `responses.stream()` of openai-node 7.57 throw; nothing else.

    That applies every event to a copy of the response:

    - reasoning text needs a part that was announced, and a number; DashScope sends neither;
    - an item must keep the `output_index` that it was added under, and DashScope's drifts;
    - a piece must name its item: where `item_id` is missing, the item last added there is meant.
    """

    def __init__(self) -> None:
        self._index_of: dict[str, int] = {}
        self._item_at: dict[int, str] = {}
        self._announced: set[tuple[str, str, str]] = set()

    def encode(self, event: Event, _: int) -> list[bytes]:
        """The frames of an event and of what must be before it."""
        return [piece for one in self.apply(event) for piece in frame(one)]

    def apply(self, event: Event) -> list[Event]:
        """The event, as it came if it does no harm, and what must be before it."""
        data = parse_object(event.data) or {}
        index = data.get("output_index")
        if not isinstance(index, int):
            return [event]
        before, announced = dict(data), list[Event]()
        if "item" in data:
            item_id = as_text(as_object(data["item"]).get("id"))
        else:
            item_id = as_text(data.get("item_id")) or self._item_at.get(index, "")
            data["item_id"] = item_id
        if event.type == ITEM_ADDED and item_id:
            self._index_of[item_id], self._item_at[index] = index, item_id
        if item_id not in self._index_of:
            return [event]
        data["output_index"] = self._index_of[item_id]
        if event.type in PARTS:
            announcement, kind, number = PARTS[event.type]
            place = (item_id, number, str(data.setdefault(number, 0)))
            if event.type != announcement and place not in self._announced:
                shared = {key: data[key] for key in ("item_id", "output_index", number)}
                shared |= {"sequence_number": data.get("sequence_number", 0)}
                part = {"type": announcement, **shared, "part": {"type": kind, "text": ""}}
                announced = [Event(announcement, json_bytes(part))]
            self._announced.add(place)
        return [*announced, event if data == before else Event(event.type, json_bytes(data))]
