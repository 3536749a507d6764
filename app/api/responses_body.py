"""A request to the Responses API: only members of one table are passed on, at any depth.

Whatever else is there is refused by name, since a lenient reader behind us might act on it: fetch
it, keep it, or charge for it. The text that came is passed on as it is, unless an image in it had
to be replaced, or `store` where answers are not kept.
"""

import hashlib
import json
import math
import secrets
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema, create_model
from pydantic_core import to_json

from app.api.bodies import JsonBody, validated
from app.api.checks import check_follow_up, check_image_count, check_length, check_model
from app.api.schemas import OutputTokens, RequestModel
from app.api.service import Service
from app.errors import InvalidRequest, MalformedBody
from app.models import Client, ImageInput, ResponsesRequest

Json = dict[str, Any]

CONTENT = """type text image_url url detail refusal annotations title start_index end_index index
    logprobs token bytes logprob top_logprobs prompt_cache_breakpoint mode ttl"""
ITEM = f"""{CONTENT} role content id status phase call_id name namespace arguments output summary
    encrypted_content action query queries pattern sources"""
TOOL = """type name description parameters strict search_context_size filters allowed_domains key
    value user_location city country region timezone vector_store_ids max_num_results
    ranking_options ranker score_threshold container server_label server_url server_protocol
    server_description headers allowed_tools tool_names require_approval always never read_only"""
SCALARS = """background conversation enable_thinking include instructions max_output_tokens
    max_tool_calls metadata model parallel_tool_calls previous_response_id prompt_cache_key
    prompt_cache_retention safety_identifier service_tier store stream temperature top_logprobs
    top_p truncation user"""
OBJECTS = {
    "access_programs": "cyber",
    "background_options": "completion_window continuation_id",
    "context_management": "compact_threshold type",
    "image": "context_compression",
    "input": ITEM,
    "moderation": "input mode model output policy",
    "prompt": f"{CONTENT} id version variables",
    "prompt_cache_options": "comparison_response_id mode prewarm ttl",
    "reasoning": "context effort generate_summary mode summary",
    "stream_options": "include_obfuscation",
    "text": "format type name description strict schema verbosity",
    "tool_choice": "type mode name server_label tools",
    "tools": TOOL,
}
MEMBERS = {name: frozenset(OBJECTS.get(name, "").split()) for name in [*SCALARS.split(), *OBJECTS]}
"""What is passed on: each member, and the members that objects below it may have. These are the
parameters of openai-python's `responses.create` (`conversation` as null only), and DashScope's
`enable_thinking`. `docs/api.md` lists which of them DashScope ignores."""

FREE_FORM = frozenset({"metadata", "text.format.schema", "tools.parameters", "tools.headers"})
"""Objects whose members are the caller's own."""
FREE_NAMES = frozenset({"prompt.variables"})
"""Objects whose names are the caller's own, but not their values."""
TOOL_PLACES = frozenset({"tools", "tool_choice", "tool_choice.tools"})
CHOICE_OF_SEVERAL = "allowed_tools"
"""The type of a `tool_choice` that is no tool but lists some."""
NAME_MAX_CHARS = 128


def _text_or_items(value: Any) -> Any:
    for item in [] if isinstance(value, str) else value if isinstance(value, list) else [None]:
        kind = item.get("type", "role" in item and "message") if isinstance(item, dict) else None
        if not isinstance(kind, str) or kind == "item_reference":
            raise ValueError("Must be a text, or whole items with a role or type; no references.")
    return value


INPUT_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
INPUT = Annotated[Any, AfterValidator(_text_or_items), WithJsonSchema(INPUT_SCHEMA)]
TYPED: dict[str, tuple[Any, str]] = {
    "instructions": (str | None, "Instructions for the model, at most as long as a prompt."),
    "stream": (bool | None, "Whether to answer with events."),
    "max_output_tokens": (OutputTokens | None, "Most tokens of the answer, reasoning included."),
    "previous_response_id": (str | None, "The response to follow up."),
    "tools": (list[Json] | None, "The tools that the model may call."),
    "conversation": (None, "Not offered; see previous_response_id."),
}
FIELDS: Json = {
    name: (kind, Field(None, description=text))
    for name in MEMBERS
    for kind, text in [TYPED.get(name, (Any, f"As OpenAI's `{name}`."))]
} | {
    "model": (str, Field(description="One of the models that this service offers.")),
    "input": (INPUT, Field(description="A text, or items.")),
}
ResponsesBody = create_model(
    "ResponsesBody",
    __base__=RequestModel,
    __doc__="As in the Responses API of OpenAI and DashScope.",
    **FIELDS,
)


async def prepare_request(sent: JsonBody, service: Service, client: Client) -> ResponsesRequest:
    """Check a body and prepare its images; what was made of it is changed.

    Raises:
        ModelNotAllowed, InvalidRequest: Something in it is not allowed here.
        ImageUrlInvalid, ImageTooLarge, ...: As `ImageIntake.prepare_url`.
    """
    body = sent.found
    if isinstance(model := body.get("model"), str):
        check_model(service, model)
    fields: Any = validated(ResponsesBody, body, strict=True)
    read = BodyReader()
    for name, value in body.items():
        read.walk(value, name, name, MEMBERS[name])
    service.guards.check_tools(read.tools)
    check_follow_up(service, client, fields.previous_response_id)
    check_image_count(service, len(read.holders), "input")
    check_length(service, "instructions", len(fields.instructions or ""))
    urls = [holder[name] for holder, name in read.holders]
    images = [await service.intake.prepare_url(url, caller=client.name) for url in urls]
    digest = _digest(body, read, images)
    changed = any(url.encode() != image.url for url, image in zip(urls, images, strict=True))
    if not service.settings.upstream_store and body.get("store") is not False:
        changed, body["store"] = True, False
    return ResponsesRequest(
        payload=_payload(body, read, images) if changed else sent.text,
        model=fields.model,
        stream=fields.stream is True,
        image_count=len(images),
        input_chars=read.input_chars + len(fields.instructions or ""),
        max_output_tokens=fields.max_output_tokens,
        previous_response_id=fields.previous_response_id,
        digest=digest,
    )


@dataclass(slots=True)
class BodyReader:
    """Finds what a body holds, and refuses (`InvalidRequest`) what is not in the table.

    `holders` are the places of image URLs: an object, and the name of the member.
    """

    holders: list[tuple[Json, str]] = field(default_factory=list)
    tools: set[str] = field(default_factory=set)
    input_chars: int = 0

    def walk(self, value: object, place: str, path: str, known: frozenset[str]) -> None:
        """Read a value; `place` is the table's path (`tools.parameters`), `path` the body's.

        The depth is bounded by `JsonBounds`.
        """
        if isinstance(value, float) and math.isinf(value):
            raise MalformedBody("A number in the body is out of range.")
        if isinstance(value, str) and place.partition(".")[0] == "input":
            self.input_chars += len(value)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                self.walk(one, place, f"{path}[{number}]", known)
        elif isinstance(value, dict) and place not in FREE_FORM:
            if place in TOOL_PLACES:
                self._note_tool(value)
            for name, inner in value.items():
                self._member(value, name, inner, place=place, path=path, known=known)

    def _member(
        self,
        holder: Json,
        name: str,
        value: object,
        *,
        place: str,
        path: str,
        known: frozenset[str],
    ) -> None:
        path = f"{path}.{name[:NAME_MAX_CHARS]}"
        if name not in known and place not in FREE_NAMES:
            raise InvalidRequest.of(path, "This field is not passed on.")
        if name != "image_url" or value is None:
            self.walk(value, f"{place}.{name[:NAME_MAX_CHARS]}", path, known)
        elif isinstance(value, str):
            self.holders.append((holder, name))
        elif (  # As in the Chat Completions API.
            isinstance(value, dict) and isinstance(value.get("url"), str)
        ) and value.keys() <= {"url", "detail"}:
            self.holders.append((value, "url"))
        else:
            raise InvalidRequest.of(path, "Must be a URL, or an object with one.")

    def _note_tool(self, tool: Json) -> None:
        kind = tool.get("type")
        if not isinstance(kind, str):
            raise InvalidRequest.of("tools", "Each must be an object with a type.")
        if kind != CHOICE_OF_SEVERAL:
            self.tools.add(kind)


def _digest(body: Json, read: BodyReader, images: list[ImageInput]) -> str:
    """Equal for bodies that ask the same about the same images, however they are written."""
    for (holder, name), image in zip(read.holders, images, strict=True):
        holder[name] = image.digest
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _payload(body: Json, read: BodyReader, images: list[ImageInput]) -> bytes:
    """The body as JSON text. Images are put in at the end: writing megabytes as JSON takes long."""
    mark = secrets.token_hex()
    for holder, name in read.holders:
        holder[name] = mark
    urls = [*(image.url for image in images), b""]
    return b"".join(chain.from_iterable(zip(to_json(body).split(mark.encode()), urls, strict=True)))
