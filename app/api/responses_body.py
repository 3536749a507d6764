"""A request to the Responses API: only members of one table are passed on, at any depth.

Whatever else is there is refused by name, since a lenient reader behind us might act on it: fetch
it, keep it, or charge for it. The text that came is passed on as it is, unless an image in it had
to be replaced, or `store` where answers are not kept.
"""

import hashlib
import json
import secrets
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, WithJsonSchema, create_model

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
SCALARS = """background conversation enable_thinking include max_output_tokens max_tool_calls
    metadata model parallel_tool_calls previous_response_id prompt_cache_key prompt_cache_retention
    safety_identifier service_tier store stream temperature top_logprobs top_p truncation user"""

MEMBERS = {name: frozenset[str]() for name in SCALARS.split()} | {
    name: frozenset(below.split())
    for name, below in {
        "access_programs": "cyber",
        "background_options": "completion_window continuation_id",
        "context_management": "compact_threshold type",
        "image": "context_compression",
        "input": ITEM,
        "instructions": ITEM,
        "moderation": "input mode model output policy",
        "prompt": f"{CONTENT} id version variables",
        "prompt_cache_options": "comparison_response_id mode prewarm ttl",
        "reasoning": "context effort generate_summary mode summary",
        "stream_options": "include_obfuscation",
        "text": "format type name description strict schema verbosity",
        "tool_choice": "type mode name server_label tools",
        "tools": TOOL,
    }.items()
}
"""What is passed on: each member, and the members that objects below it may have. These are the
parameters of openai-python's `responses.create` (`conversation` as null only), and DashScope's
`enable_thinking`. `docs/api.md` lists which of them DashScope ignores."""

FREE_FORM = frozenset({"metadata", "text.format.schema", "tools.parameters", "tools.headers"})
"""Objects whose members are the caller's own."""

FREE_NAMES = frozenset({"prompt.variables"})
"""Objects whose names are the caller's own, but not their values."""

CONTENT_LISTS = frozenset({"content", "summary"})
CONTENT_TYPES = frozenset(
    {
        *("input_text", "text", "output_text", "summary_text", "reasoning_text", "refusal"),
        *("input_image", "image_url"),
    }
)
NAME_MAX_CHARS = 128


def _text_or_items(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise ValueError("Must be a string or a list.")  # noqa: TRY004 - pydantic's way
    return value


INPUT_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
TYPED: dict[str, Any] = {
    "model": (str, Field(description="One of the models that this service offers.")),
    "input": (
        Annotated[Any, AfterValidator(_text_or_items), WithJsonSchema(INPUT_SCHEMA)],
        Field(description="A text, or items."),
    ),
    "stream": (bool | None, Field(None, description="Whether to answer with events.")),
    "max_output_tokens": (
        OutputTokens | None,
        Field(None, description="Upper bound of the answer, in tokens, reasoning included."),
    ),
    "previous_response_id": (str | None, Field(None, description="The response to follow up.")),
    "tools": (list[Json] | None, Field(None, description="The tools that the model may call.")),
    "conversation": (None, Field(None, description="Not offered; see previous_response_id.")),
}
ResponsesBody = create_model(
    "ResponsesBody",
    __base__=RequestModel,
    __doc__="As in the Responses API of OpenAI and DashScope.",
    **{name: (Any, Field(None, description=f"As OpenAI's `{name}`.")) for name in MEMBERS} | TYPED,
)


class Picture(NamedTuple):
    """Where an image's URL stands in a body: `holder[name]`."""

    holder: Json
    name: str

    @property
    def url(self) -> str:
        """The URL that stands there."""
        url: str = self.holder[self.name]
        return url

    def replace(self, url: str) -> None:
        """Put another one there."""
        self.holder[self.name] = url


async def prepare_request(
    sent: JsonBody, service: Service, client: Client, *, with_digest: bool
) -> ResponsesRequest:
    """Check a body and prepare its images; what was made of it is changed.

    Raises:
        ModelNotAllowed, InvalidRequest: Something in it is not allowed here.
        ImageUrlInvalid, ImageTooLarge, ...: As `ImageIntake.prepare_url`.
    """
    body = sent.found
    if isinstance(model := body.get("model"), str):
        check_model(service, model)
    fields: Any = validated(ResponsesBody, body, strict=True)
    service.guards.check_tools(_tool_types(body))
    check_follow_up(service, client, fields.previous_response_id)
    pictures, chars = find_pictures(body)
    check_image_count(service, len(pictures), "input")
    check_length(service, "instructions", chars.get("instructions", 0))
    prepare = service.intake.prepare_url
    images = [await prepare(picture.url, caller=client.name) for picture in pictures]
    changed = any(
        picture.url.encode() != image.url for picture, image in zip(pictures, images, strict=True)
    )
    digest = _digest(body, pictures, images) if with_digest else ""
    if not service.settings.upstream_store and body.get("store") is not False:
        changed, body["store"] = True, False
    return ResponsesRequest(
        payload=_payload(body, pictures, images) if changed else sent.text,
        model=fields.model,
        stream=fields.stream is True,
        image_count=len(images),
        input_chars=chars.get("input", 0) + chars.get("instructions", 0),
        max_output_tokens=fields.max_output_tokens,
        previous_response_id=fields.previous_response_id,
        digest=digest,
    )


def _payload(body: Json, pictures: list[Picture], images: list[ImageInput]) -> bytes:
    """The body as JSON text. Images are put in at the end: writing them as JSON takes seconds."""
    marks = [secrets.token_hex() for _ in pictures]
    for picture, mark in zip(pictures, marks, strict=True):
        picture.replace(mark)
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as exc:
        raise MalformedBody("A number in the body is out of range.") from exc
    parts: list[bytes] = []
    for mark, image in zip(marks, images, strict=True):
        before, _, text = text.partition(mark.encode())
        parts += [before, image.url]
    return b"".join([*parts, text])


def _tool_types(body: Json) -> list[str]:
    """The types of all tools that a body names, in `tools` and in `tool_choice`."""
    choice = body.get("tool_choice")
    tools = list(body.get("tools") or ())
    if isinstance(choice, dict):
        tools += choice.get("tools") or () if choice.get("type") == "allowed_tools" else [choice]
    types = [tool.get("type") if isinstance(tool, dict) else None for tool in tools]
    if not all(isinstance(one, str) for one in types):
        raise InvalidRequest.of("tools", "Each must be an object with a type.")
    return [str(one) for one in types]


def find_pictures(body: Json) -> tuple[list[Picture], dict[str, int]]:
    """The images of a body in their order, and the characters of its texts by top-level member.

    The depth is bounded by `JsonBounds`.

    Raises:
        InvalidRequest: There is a member that is not in the table, or content that is no text and
            no image.
    """
    pictures: list[Picture] = []
    chars = dict.fromkeys(body, 0)

    def walk(value: object, place: str, path: str) -> None:
        """`place` is the table's path (`tools.parameters`), `path` the body's (`tools[0].…`)."""
        top = place.partition(".")[0]
        if isinstance(value, str):
            chars[top] += len(value)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                walk(one, place, f"{path}[{number}]")
        elif isinstance(value, dict) and place not in FREE_FORM:
            for name, inner in value.items():
                shown = name[:NAME_MAX_CHARS]
                if name not in MEMBERS[top] and place not in FREE_NAMES:
                    raise InvalidRequest.of(f"{path}.{shown}", "This field is not passed on.")
                if name == "image_url" and inner is not None:
                    pictures.append(_picture(value, inner, f"{path}.{name}"))
                else:
                    _check_content(name, inner, f"{path}.{name}")
                    walk(inner, f"{place}.{shown}", f"{path}.{shown}")

    _check_items(body["input"])
    for name, value in body.items():
        walk(value, name, name)
    return pictures, chars


def _check_items(items: str | list[Any]) -> None:
    for number, item in enumerate(items if isinstance(items, list) else ()):
        members: Json = item if isinstance(item, dict) else {}
        kind = members.get("type", "message" if "role" in members else None)
        if not isinstance(kind, str) or kind == "item_reference":
            reason = "Must be a whole item with a role or a type; references are not read."
            raise InvalidRequest.of(f"input[{number}]", reason)


def _check_content(name: str, value: object, path: str) -> None:
    parts = value if name in CONTENT_LISTS and isinstance(value, list) else ()
    for number, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(part, str) and not (isinstance(kind, str) and kind in CONTENT_TYPES):
            raise InvalidRequest.of(f"{path}[{number}].type", "Only text and images are passed on.")


def _picture(holder: Json, value: object, path: str) -> Picture:
    """An image's URL, as it is or in an object, as in OpenAI's Chat Completions API."""
    if isinstance(value, str):
        return Picture(holder, "image_url")
    inner: Json = value if isinstance(value, dict) else {}
    if not isinstance(inner.get("url"), str) or not inner.keys() <= {"url", "detail"}:
        raise InvalidRequest.of(path, "Must be a URL, or an object with one.")
    return Picture(inner, "url")


def _digest(body: Json, pictures: list[Picture], images: list[ImageInput]) -> str:
    """Equal for bodies that ask the same about the same images, however they are written."""
    for picture, image in zip(pictures, images, strict=True):
        picture.replace(image.digest)
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
