"""`/ui/chat`: the last message of a chat is a search, as the AI SDK's `useChat` asks for it."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field
from starlette.responses import Response

from app.api import bodies
from app.api.dependencies import Admitted, ByUrl, Call, IdempotencyKey
from app.api.openapi import FRAME, IDENTIFIED, UPLOADED, UPSTREAM, answer, body, refusals
from app.api.schemas import Json, SearchRequest
from app.api.search import STARTED_HEADERS, open_search, stream_location
from app.api.sse import EventStream, First
from app.api.ui_stream import UI_STREAM_HEADERS, UiMessageStream
from app.runs import Reader
from app.setting_types import ANONYMOUS
from app.upstream.lenient import as_list, as_object, as_text

GUESSABLE_CHARS = 16  # Browsers make the ids of chats; a shorter one could be guessed.
HISTORY_MAX_MEMBERS = 50_000  # A chat is sent whole, and each result stands in it three times.

CHUNK: Json = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
STREAM = answer(
    *STARTED_HEADERS,
    description="The AI SDK's UI message stream, version 1.",
    content={"text/event-stream": {"schema": CHUNK, "itemSchema": FRAME}},
)
SENT = STREAM | refusals(*UPLOADED, *UPSTREAM)
ENDED = answer(status=204, description="Nothing goes on, or its end was read.")
RESUMED = STREAM | ENDED | refusals(*IDENTIFIED)
ChatId = Annotated[str, Path(max_length=128, description="Id of the chat.")]

router = APIRouter(prefix="/ui", tags=["ui"])


class ChatRequest(SearchRequest):
    """What `useChat` sends: the last message of the user is the search.

    Members of `SearchRequest` may stand beside it, as the transport's `body` adds them.
    """

    id: Annotated[str, Field(min_length=1, max_length=128, description="Id of the chat.")]
    messages: list[Json] = Field(description="All messages of the chat.")
    trigger: Literal["submit-message", "regenerate-message"] = Field(
        default="submit-message", description="`regenerate-message`: ask again."
    )
    message_id: str | None = Field(default=None, alias="messageId", description="Not looked at.")

    def as_search(self) -> SearchRequest:
        """The search; without a picture it follows up the chat's last answer."""
        roles = [as_text(message.get("role")) for message in self.messages]
        asked = max((number for number, role in enumerate(roles) if role == "user"), default=0)
        asking = self.messages[asked] if self.messages else {}
        parts = [as_object(part) for part in as_list(asking.get("parts"))]
        urls = [as_text(part.get("url")) for part in parts if part.get("type") == "file"]
        texts = [as_text(part.get("text")) for part in parts if part.get("type") == "text"]
        changes: dict[str, Any] = {"prompt": "\n".join(texts) or self.prompt}
        if urls:
            changes["image_url"] = [*self.image_url, *urls]
        elif not self.image_url and not self.previous_response_id:
            latest_first = reversed(self.messages[:asked])
            metadata = (as_object(message.get("metadata")) for message in latest_first)
            ids = (one.get("upstream_response_id") for one in metadata)
            changes["previous_response_id"] = next(filter(None, ids), None)
        # A later message is never answered by an earlier search, whose id is its answer's.
        if self.trigger == "regenerate-message" or "assistant" in roles:
            changes["fresh"] = True
        known = self.model_dump(include=set(SearchRequest.model_fields))
        return bodies.validated(SearchRequest, known | changes)


@router.post(
    "/chat", response_class=EventStream, openapi_extra=body(json=ChatRequest), responses=SENT
)
async def send_chat_message(call: Admitted, key: IdempotencyKey = None) -> Response:
    """Search with the last message of a chat, and follow the answer as a UI message stream."""
    with call.hold_memory() as memory:
        sent = await bodies.read_json(call, memory, max_members=HISTORY_MAX_MEMBERS)
        chat = bodies.validated(ChatRequest, sent)
        reader = await open_search(call, key, chat.as_search(), [], memory=memory)
    place = name_of(call, chat.id)
    if call.client.name != ANONYMOUS or len(chat.id) >= GUESSABLE_CHARS:
        call.service.runs.name(reader.run, place)
    first = partial(reader.run.first_event, call.service.settings.stream_commit_s)
    return _stream(call, reader, place, first)


@router.get("/chat/{chat_id}/stream", response_class=EventStream, responses=RESUMED)
async def resume_chat(call: ByUrl, chat_id: ChatId) -> Response:
    """Follow the latest search of a chat from its beginning, until somebody has had its end."""
    place = name_of(call, chat_id)
    call.request.state.run = run = await call.service.runs.find_named(call.client, place)
    if run is None:
        return Response(status_code=204)
    call.service.metrics.resumes.labels(run.source).inc()
    return _stream(call, run.read(resumable=True), place)


def name_of(call: Call, chat_id: str) -> str:
    """The name of a chat's latest run, until a reader has had its end."""
    return f"chat:{call.client.name}:{chat_id}"


def _stream(call: Call, reader: Reader, place: str, first: First = None) -> EventStream:
    return EventStream(
        call.service,
        reader,
        first=first,
        encode=UiMessageStream().encode,
        headers=UI_STREAM_HEADERS | stream_location(call, reader.run),
        on_end=lambda: call.service.runs.unname(reader.run, place),
    )
