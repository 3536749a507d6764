"""A request to the Responses API: only members of one table are passed on, at any depth.

Whatever else is there is refused by name, since a lenient reader behind us might act on it: fetch
it, keep it, or charge for it. What is passed on is written anew from what was read here, so that
both read the same.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import ConfigDict, Field, create_model
from pydantic_core import to_json

from app.api.schemas import MAX_OUTPUT_TOKENS, MIN_OUTPUT_TOKENS, Whole
from app.api.service import Service
from app.errors import InvalidRequest, MalformedBody, ModelNotAllowed
from app.models import Client, ResponsesRequest

Json = dict[str, Any]

ITEM = frozenset(
    """type role content id status phase call_id name namespace arguments output summary
    encrypted_content action query queries pattern sources
    text image_url url detail refusal annotations title start_index end_index index
    logprobs token bytes logprob top_logprobs prompt_cache_breakpoint mode ttl""".split()
)
"""Members of input items and of their parts: messages, reasoning, calls of functions and tools."""

TOOL = frozenset(
    """type name description parameters strict search_context_size filters allowed_domains key value
    user_location city country region timezone vector_store_ids max_num_results ranking_options
    ranker score_threshold container server_label server_url server_protocol server_description
    headers allowed_tools tool_names require_approval always never read_only""".split()
)
NONE: frozenset[str] = frozenset()

MEMBERS: dict[str, frozenset[str]] = {
    "access_programs": frozenset({"cyber"}),
    "background": NONE,
    "background_options": frozenset({"completion_window", "continuation_id"}),
    "context_management": frozenset({"compact_threshold", "type"}),
    "enable_thinking": NONE,
    "image": frozenset({"context_compression"}),
    "include": NONE,
    "input": ITEM,
    "instructions": ITEM,
    "max_output_tokens": NONE,
    "max_tool_calls": NONE,
    "metadata": NONE,
    "model": NONE,
    "moderation": frozenset({"input", "mode", "model", "output", "policy"}),
    "parallel_tool_calls": NONE,
    "previous_response_id": NONE,
    "prompt": ITEM | {"id", "version", "variables"},
    "prompt_cache_key": NONE,
    "prompt_cache_options": frozenset({"comparison_response_id", "mode", "prewarm", "ttl"}),
    "prompt_cache_retention": NONE,
    "reasoning": frozenset({"context", "effort", "generate_summary", "mode", "summary"}),
    "safety_identifier": NONE,
    "service_tier": NONE,
    "store": NONE,
    "stream": NONE,
    "stream_options": frozenset({"include_obfuscation"}),
    "temperature": NONE,
    "text": frozenset({"format", "type", "name", "description", "strict", "schema", "verbosity"}),
    "tool_choice": frozenset({"type", "mode", "name", "server_label", "tools"}),
    "tools": TOOL,
    "top_logprobs": NONE,
    "top_p": NONE,
    "truncation": NONE,
    "user": NONE,
}
"""What is passed on: each member, and the members that objects below it may have. These are the
parameters of openai-python's `responses.create` but `conversation`, and DashScope's
`enable_thinking`. `docs/api.md` lists which of them DashScope ignores."""

FREE_FORM = frozenset({"metadata", "text.format.schema", "tools.parameters", "tools.headers"})
"""Objects whose members are the caller's own."""

FREE_NAMES = frozenset({"prompt.variables"})
"""Objects whose names are the caller's own, but not their values."""

CONTENT_TYPES = frozenset(
    """input_text text output_text summary_text reasoning_text refusal
    input_image image_url""".split()
)
CONTENT_LISTS = frozenset({"content", "summary"})
NAME_MAX_CHARS = 128

ResponsesBody = create_model(
    "ResponsesBody",
    __config__=ConfigDict(extra="forbid"),
    __doc__="As OpenAI's and DashScope's Responses API have it; docs/api.md says what is ignored.",
    **{  # type: ignore[call-overload] # made of the table
        name: (Any, Field(default=None, description=f"As `{name}` in the Responses API."))
        for name in MEMBERS
        if name not in ("model", "input", "max_output_tokens")
    },
    model=(str, Field(description="One of the models that this service offers.")),
    input=(str | list[Json], Field(description="A text, or items.")),
    max_output_tokens=(
        Annotated[Whole, Field(ge=MIN_OUTPUT_TOKENS, le=MAX_OUTPUT_TOKENS)] | None,
        Field(default=None, description="Upper bound of the answer, in tokens."),
    ),
)


@dataclass(slots=True)
class Picture:
    """Where an image's URL stands in a body: `holder[name]`."""

    holder: Json
    name: str
    digest: str = ""

    @property
    def url(self) -> str:
        """The URL that stands there."""
        url: str = self.holder[self.name]
        return url

    def replace(self, url: str) -> None:
        """Put another URL there."""
        self.holder[self.name] = url


@dataclass(slots=True)
class Found:
    """What a body holds: images in their order, characters of its texts by top-level member."""

    pictures: list[Picture] = field(default_factory=list)
    chars: dict[str, int] = field(default_factory=dict)


async def prepare_request(
    body: Json, service: Service, client: Client, *, with_digest: bool
) -> ResponsesRequest:
    """Check a body and prepare its images; it is used up.

    Raises:
        ModelNotAllowed, InvalidRequest: Something in it is not allowed here.
        MalformedBody: A number in it is out of range.
        ImageUrlInvalid, ImageTooLarge, ...: As `ImageIntake.prepare_url`.
    """
    _check_members(body)
    _check(body, service, client)
    found = find_pictures(body)
    _check_amounts(found, service)
    for picture in found.pictures:
        image = await service.intake.prepare_url(picture.url, caller=client.name)
        picture.replace(image.url.decode())
        picture.digest = image.digest
    digest = _digest(body, found.pictures) if with_digest else ""
    if not service.settings.upstream_store:
        body["store"] = False
    return ResponsesRequest(
        payload=_payload(body),
        model=body["model"],
        stream=body.get("stream") is True,
        image_count=len(found.pictures),
        input_chars=found.chars.get("input", 0) + found.chars.get("instructions", 0),
        max_output_tokens=body.get("max_output_tokens"),
        previous_response_id=body.get("previous_response_id"),
        digest=digest,
    )


def _check_members(body: Json) -> None:
    if body.get("conversation") is not None:
        raise InvalidRequest.of(
            "conversation", "Conversations are not offered; see previous_response_id."
        )
    for name in body:
        if name not in MEMBERS and name != "conversation":
            raise InvalidRequest.of(name, "Unknown field.")
    body.pop("conversation", None)


def _check(body: Json, service: Service, client: Client) -> None:
    settings = service.settings
    model, tokens = body.get("model"), body.get("max_output_tokens")
    if not isinstance(model, str):
        raise InvalidRequest.of("model", "This field is required, and must be a string.")
    if model not in settings.models:
        raise ModelNotAllowed(f"Not offered here. Offered are: {', '.join(settings.models)}.")
    if not isinstance(body.get("input"), str | list):
        raise InvalidRequest.of("input", "This field is required: a string or a list.")
    if not isinstance(body.get("stream"), bool | None):
        raise InvalidRequest.of("stream", "Must be true or false.")
    if isinstance(tokens, float) and tokens.is_integer():
        tokens = body["max_output_tokens"] = int(tokens)
    if tokens is not None and not (
        type(tokens) is int and MIN_OUTPUT_TOKENS <= tokens <= MAX_OUTPUT_TOKENS
    ):
        raise InvalidRequest.of(
            "max_output_tokens",
            f"Must be an integer from {MIN_OUTPUT_TOKENS} to {MAX_OUTPUT_TOKENS}.",
        )
    service.guards.check_tools(_tool_types(body))
    _check_previous(body.get("previous_response_id"), service, client)


def _check_previous(response_id: object, service: Service, client: Client) -> None:
    if response_id is None:
        return
    if not isinstance(response_id, str):
        raise InvalidRequest.of("previous_response_id", "Must be a string.")
    if not service.settings.upstream_store:
        raise InvalidRequest.of(
            "previous_response_id", "Answers are not kept here, so none can be followed up."
        )
    service.guards.responses.check(response_id, client.name)


def _tool_types(body: Json) -> list[str]:
    """The types of all tools that a body asks for, in `tools` and in `tool_choice`."""
    choice = body.get("tool_choice")
    chosen: Json = choice if isinstance(choice, dict) else {}
    types = _types(body.get("tools"), "tools") + _types(chosen.get("tools"), "tool_choice.tools")
    if chosen and chosen.get("type") != "allowed_tools":
        types += _types([chosen], "tool_choice")
    return types


def _types(tools: object, where: str) -> list[str]:
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise InvalidRequest.of(where, "Must be a list.")
    types = [tool.get("type") if isinstance(tool, dict) else None for tool in tools]
    if not all(isinstance(one, str) for one in types):
        raise InvalidRequest.of(where, "Each must be an object with a type.")
    return [str(one) for one in types]


def find_pictures(body: Json) -> Found:
    """Walk through a body, and find its images and the length of its texts.

    Raises:
        InvalidRequest: It has a member that is not in the table, or content that is not passed on.
    """
    found = Found()
    for number, item in enumerate(body["input"] if isinstance(body["input"], list) else ()):
        _check_item(item, f"input[{number}]")
    for name, value in body.items():
        walk = _Walk(MEMBERS[name], found, name)
        walk.into(value, place=name, path=name)
    return found


def _check_item(item: object, path: str) -> None:
    members: Json = item if isinstance(item, dict) else {}
    kind = members.get("type", "message" if "role" in members else None)
    if not isinstance(kind, str) or kind == "item_reference":
        raise InvalidRequest.of(
            path, "Must be a whole item with a role or a type; references are not read."
        )


@dataclass(frozen=True, slots=True)
class _Walk:
    """Walks through the value of a top-level member.

    `place` is where it is in the table's terms (`tools.parameters`), `path` in the body's
    (`tools[0].parameters`). JsonBounds has limited the depth.
    """

    allowed: frozenset[str]
    found: Found
    member: str

    def into(self, value: object, *, place: str, path: str, content: bool = False) -> None:
        if isinstance(value, str):
            self.found.chars[self.member] = self.found.chars.get(self.member, 0) + len(value)
        elif place in FREE_FORM:
            return
        elif isinstance(value, list):
            for number, one in enumerate(value):
                where = f"{path}[{number}]"
                if content and isinstance(one, dict | list):
                    _check_content(one, where)
                self.into(one, place=place, path=where)
        elif isinstance(value, dict):
            for name, inner in value.items():
                self._into_member(value, name, inner, place=place, path=path)

    def _into_member(
        self, holder: Json, name: str, inner: object, *, place: str, path: str
    ) -> None:
        where = f"{path}.{name[:NAME_MAX_CHARS]}"
        if place not in FREE_NAMES and name not in self.allowed:
            raise InvalidRequest.of(where, "Unknown field, or one that is not passed on.")
        if name == "image_url" and inner is not None:
            self.found.pictures.append(_picture(holder, inner, where))
        else:
            below = f"{place}.{name[:NAME_MAX_CHARS]}"
            self.into(inner, place=below, path=where, content=name in CONTENT_LISTS)


def _check_content(part: Json | list[Any], path: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not (isinstance(kind, str) and kind in CONTENT_TYPES):
        raise InvalidRequest.of(f"{path}.type", "Only text and images are passed on.")


def _picture(holder: Json, value: object, path: str) -> Picture:
    """An image's URL, as it is or in an object, as in OpenAI's Chat Completions API."""
    if isinstance(value, str):
        return Picture(holder, "image_url")
    if isinstance(value, dict) and isinstance(value.get("url"), str):
        if value.keys() <= {"url", "detail"}:
            return Picture(value, "url")
    raise InvalidRequest.of(path, "Must be a URL, or an object with one.")


def _check_amounts(found: Found, service: Service) -> None:
    settings = service.settings
    if len(found.pictures) > settings.image_max_count:
        raise InvalidRequest.of("input", f"At most {settings.image_max_count} images.")
    if 0 < settings.prompt_max_chars < found.chars.get("instructions", 0):
        raise InvalidRequest.of("instructions", f"May have {settings.prompt_max_chars} characters.")


def _digest(body: Json, pictures: Iterable[Picture]) -> str:
    """Equal for bodies that ask the same about the same images, however they are written."""
    urls = [(picture, picture.url) for picture in pictures]
    for picture, _ in urls:
        picture.replace(picture.digest)
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    for picture, url in urls:
        picture.replace(url)
    return digest


def _payload(body: Json) -> bytes:
    try:
        return to_json(body, inf_nan_mode="constants")
    except ValueError as exc:
        raise MalformedBody("The body holds what JSON cannot.") from exc
