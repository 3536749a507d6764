"""A request to the Responses API: only members of one table are passed on, at any depth.

Whatever else is there is refused by name, since a lenient reader after us might act on it: fetch
it, keep it, or charge for it.
"""

import asyncio
import hashlib
import json
import secrets
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema, create_model

from app.api.bodies import TEXT_MAX_BYTES, TOO_MUCH_TEXT, validated
from app.api.dependencies import Call
from app.api.schemas import OutputTokens, RequestModel
from app.errors import ImageTooLarge, InvalidRequest, MalformedBody
from app.models import ImageInput, ResponsesRequest
from app.upstream.lenient import Json, as_object, as_text

TABLE = tomllib.loads(Path(__file__).with_name("responses_members.toml").read_text("utf-8"))
MEMBERS = {name: frozenset[str]() for name in TABLE["scalars"].split()}
MEMBERS |= {name: frozenset(names.split()) for name, names in TABLE["objects"].items()}
"""What is passed on: each member, and the members that objects below it may have."""
FREE_FORM, FREE_NAMES = TABLE["free_form"].split(), TABLE["free_names"].split()
TOOL_PLACES = frozenset({"tools", "tool_choice", "tool_choice.tools"})


def _text_or_items(value: Any) -> Any:
    if isinstance(value, str):
        return value
    for item in map(as_object, value if isinstance(value, list) else [None]):
        kind = item.get("type", "message" if "role" in item else None)
        if as_text(kind) in ("", "item_reference"):
            raise ValueError("Must be a text, or whole items with a role or a type; no references.")
    return value


INPUT_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}


class CheckedMembers(RequestModel):
    """The members that are looked at here; the upstream checks the others."""

    model: str = Field(description="One of the models that this service offers.")
    input: Annotated[Any, AfterValidator(_text_or_items), WithJsonSchema(INPUT_SCHEMA)]
    """A text, or items."""
    instructions: str | None = Field(default=None, description="At most as long as a prompt.")
    stream: bool | None = Field(default=None, description="Whether to answer with events.")
    background: bool | None = Field(default=None, description="Go on without a reader.")
    max_output_tokens: OutputTokens | None = Field(default=None, description="Reasoning included.")
    previous_response_id: str | None = Field(default=None, description="The response to follow up.")
    tools: list[Json] | None = Field(default=None, fail_fast=True)
    """The tools that the model may call."""
    conversation: None = Field(default=None, description="Not offered; see previous_response_id.")


OTHERS: Json = {
    name: (Any, Field(None, description=f"As OpenAI's `{name}`."))
    for name in MEMBERS
    if name not in CheckedMembers.model_fields
}
ResponsesBody = create_model(
    "ResponsesBody",
    __base__=CheckedMembers,
    __doc__="As in the Responses API of OpenAI and DashScope.",
    **OTHERS,
)


async def prepare_request(call: Call, body: Json) -> ResponsesRequest:
    """Check a body, which is changed, and prepare its images; raises a `ServiceError`."""
    service, caller, read = call.service, call.client.name, BodyReader()
    fields: CheckedMembers = validated(ResponsesBody, body)
    for name, value in body.items():
        read.walk(value, name, name)
    if read.text_chars > TEXT_MAX_BYTES:  # Some began like a `data:` URL.
        raise ImageTooLarge(TOO_MUCH_TEXT)
    allowed = service.settings.tools_allowed
    if not read.tools.issubset(allowed):  # They are not echoed.
        names = ", ".join(sorted(allowed)) or "none"
        raise InvalidRequest.of("tools", f"Only these are allowed: {names}.")
    await asyncio.sleep(0)  # What was done and what follows may take 20 ms each.
    await call.check(
        model=fields.model,
        follows=fields.previous_response_id,
        n_images=len(read.places),
        field="input",
        instructions=fields.instructions,
    )
    images = []
    for holder, name in read.places:
        images.append(await service.intake.prepare_url(holder[name], caller=caller))
        holder[name] = images[-1].digest
    # Equal for bodies that ask the same about the same images, however they are written.
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    await asyncio.sleep(0)
    if fields.background:  # The upstream has none: it is asked for events, and we keep them.
        body["stream"] = True
        del body["background"]
    if not service.settings.upstream_store:
        body["store"] = False
    return ResponsesRequest(
        payload=_payload(body, read.places, images),
        model=fields.model,
        stream=fields.stream is True or fields.background is True,
        background=fields.background is True,
        image_count=len(images),
        input_chars=read.chars,
        max_output_tokens=fields.max_output_tokens,
        previous_response_id=fields.previous_response_id,
        digest=digest,
    )


@dataclass(slots=True)
class BodyReader:
    """What a body holds: places of image URLs, types of tools, characters that become input."""

    places: list[tuple[Json, str]] = field(default_factory=list)  # An object, a member's name.
    tools: set[str] = field(default_factory=set)
    chars: int = 0
    text_chars: int = 0  # Of all texts and names but image URLs.

    def walk(self, value: object, path: str, place: str) -> None:
        """Read a value of bounded depth. `path` has the numbers of list items, `place` has not."""
        if isinstance(value, str):
            self.text_chars += len(value)
            self.chars += len(value) if place.startswith(("input", "instructions")) else 0
        elif isinstance(value, list):
            for number, one in enumerate(value):
                self.walk(one, f"{path}[{number}]", place)
        elif isinstance(value, dict) and place in FREE_FORM:
            self.walk([*value, *value.values()], path, place)
        elif isinstance(value, dict):
            if place in TOOL_PLACES and value.get("type") != "allowed_tools":  # It lists some.
                self.tools.add(str(value.get("type")))
            known = MEMBERS[place.partition(".")[0]]
            for name, inner in value.items():
                inner_path = f"{path}.{name[:128]}"
                self.text_chars += len(name)
                if name not in known and place not in FREE_NAMES:
                    raise InvalidRequest.of(inner_path, "This field is not passed on.")
                if name == "image_url" and inner is not None:
                    self.places.append(_image_place(value, inner, inner_path))
                    others = {n: one for n, one in as_object(inner).items() if n != "url"}
                    self.walk(others, inner_path, place)
                else:
                    self.walk(inner, inner_path, f"{place}.{name[:128]}")


def _image_place(holder: Json, value: object, path: str) -> tuple[Json, str]:
    """Where an image's URL stands: as it is or in an object, as in the Chat Completions API."""
    if isinstance(value, str):
        return holder, "image_url"
    inner = as_object(value)
    if not isinstance(inner.get("url"), str) or not inner.keys() <= {"url", "detail"}:
        raise InvalidRequest.of(path, "Must be a URL, or an object with one.")
    return inner, "url"


def _payload(body: Json, places: list[tuple[Json, str]], images: list[ImageInput]) -> list[bytes]:
    """The body's JSON text in parts. Images are no JSON to be written: that would take long."""
    mark = secrets.token_hex()
    for holder, name in places:
        holder[name] = mark
    try:
        text, *texts = json.dumps(body, ensure_ascii=False, allow_nan=False).split(mark)
    except ValueError as exc:
        raise MalformedBody("A number in the body is out of range.") from exc
    parts = [text.encode()]
    for image, text in zip(images, texts, strict=True):
        parts += image.url, text.encode()
    return parts
