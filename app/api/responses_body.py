"""A request to the Responses API: only members of one table are passed on, at any depth.

Whatever else is there is refused by name, since a lenient reader behind us might act on it: fetch
it, keep it, or charge for it. The text that came is passed on as it is, unless an image in it had
to be replaced, or `store` where answers are not kept.
"""

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema, create_model

from app.api.bodies import JsonBody, validated
from app.api.checks import check_follow_up, check_image_count, check_length, check_model
from app.api.schemas import OutputTokens, RequestModel
from app.api.service import Service
from app.errors import InvalidRequest, MalformedBody
from app.models import Client, ImageInput, ResponsesRequest

Json = dict[str, Any]
Place = tuple[Json, str]
"""An object in a body, and the name of the member that is an image's URL."""

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
INPUT_TEXTS = ("input", "instructions")
NAME_MAX_CHARS = 128
INDEX = re.compile(r"\[\d+\]")


def _text_or_items(value: Any) -> Any:
    items = [] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(map(_is_whole, items)):
        raise ValueError("Must be a text, or whole items with a role or a type; no references.")
    return value


def _is_whole(item: Any) -> bool:
    kind = (
        item.get("type", "message" if "role" in item else None) if isinstance(item, dict) else None
    )
    return isinstance(kind, str) and kind != "item_reference"


INPUT_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
Input = Annotated[Any, AfterValidator(_text_or_items), WithJsonSchema(INPUT_SCHEMA)]
FIELDS: Json = {
    name: (Any, Field(None, description=f"As OpenAI's `{name}`.")) for name in MEMBERS
} | {
    "model": (str, Field(description="One of the models that this service offers.")),
    "input": (Input, Field(description="A text, or items.")),
    "instructions": (str | None, Field(None, description="At most as long as a prompt.")),
    "stream": (bool | None, Field(None, description="Whether to answer with events.")),
    "max_output_tokens": (OutputTokens | None, Field(None, description="Reasoning included.")),
    "previous_response_id": (str | None, Field(None, description="The response to follow up.")),
    "tools": (list[Json] | None, Field(None, description="The tools that the model may call.")),
    "conversation": (None, Field(None, description="Not offered; see previous_response_id.")),
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
    body, read = sent.found, BodyReader()
    if isinstance(model := body.get("model"), str):
        check_model(service, model)
    fields: Any = validated(ResponsesBody, body, strict=True)
    for name, value in body.items():
        read.walk(value, name)
    service.guards.check_tools(read.tools)
    check_follow_up(service, client, fields.previous_response_id)
    check_image_count(service, len(read.places), "input")
    check_length(service, "instructions", len(fields.instructions or ""))
    urls = [holder[name] for holder, name in read.places]
    images = [await service.intake.prepare_url(url, caller=client.name) for url in urls]
    digest = _digest(body, read.places, images)
    changed = any(url.encode() != image.url for url, image in zip(urls, images, strict=True))
    if not service.settings.upstream_store and body.get("store") is not False:
        changed, body["store"] = True, False
    return ResponsesRequest(
        payload=_payload(body, read.places, images) if changed else sent.text,
        model=fields.model,
        stream=fields.stream is True,
        image_count=len(images),
        input_chars=read.chars,
        max_output_tokens=fields.max_output_tokens,
        previous_response_id=fields.previous_response_id,
        digest=digest,
    )


@dataclass(slots=True)
class BodyReader:
    """What a body holds: places of image URLs, types of tools, characters that become input."""

    places: list[Place] = field(default_factory=list)
    tools: set[str] = field(default_factory=set)
    chars: int = 0

    def walk(self, value: object, path: str) -> None:
        """Read a value; `InvalidRequest` names what is not in the table. `JsonBounds` the depth."""
        place = INDEX.sub("", path)
        if isinstance(value, str) and path.startswith(INPUT_TEXTS):
            self.chars += len(value)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                self.walk(one, f"{path}[{number}]")
        elif isinstance(value, dict) and place not in FREE_FORM:
            if place in TOOL_PLACES and value.get("type") != CHOICE_OF_SEVERAL:
                self.tools.add(str(value.get("type")))
            for name, inner in value.items():
                inner_path = f"{path}.{name[:NAME_MAX_CHARS]}"
                if name not in MEMBERS[place.partition(".")[0]] and place not in FREE_NAMES:
                    raise InvalidRequest.of(inner_path, "This field is not passed on.")
                if name == "image_url" and inner is not None:
                    self.places.append(_image_place(value, inner, inner_path))
                else:
                    self.walk(inner, inner_path)


def _image_place(holder: Json, value: object, path: str) -> Place:
    """Where an image's URL stands: as it is or in an object, as in the Chat Completions API."""
    if isinstance(value, str):
        return holder, "image_url"
    inner: Json = value if isinstance(value, dict) else {}
    if not isinstance(inner.get("url"), str) or not inner.keys() <= {"url", "detail"}:
        raise InvalidRequest.of(path, "Must be a URL, or an object with one.")
    return inner, "url"


def _digest(body: Json, places: list[Place], images: list[ImageInput]) -> str:
    """Equal for bodies that ask the same about the same images, however they are written."""
    for (holder, name), image in zip(places, images, strict=True):
        holder[name] = image.digest
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _payload(body: Json, places: list[Place], images: list[ImageInput]) -> bytes:
    """The body as JSON text. Images are put in at the end: writing megabytes as JSON takes long."""
    mark = secrets.token_hex()
    for holder, name in places:
        holder[name] = mark
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False)
    except ValueError as exc:
        raise MalformedBody("A number in the body is out of range.") from exc
    urls = [*(image.url for image in images), b""]
    return b"".join(chain.from_iterable(zip(text.encode().split(mark.encode()), urls, strict=True)))
