"""Models of what is received and, for OpenAPI, of events."""

import tomllib
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_pascal

from app.errors import CallerError, ServiceError
from app.results import SYNTHETIC_EVENTS, ApiModel
from app.upstream.lenient import Json

FIELDS_MAX = 100  # To say of thousands what is wrong with each would take a while.
DEFAULT_PROMPT = "Find visually similar images and describe what they have in common."

OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}


def _without_defaults(schema: Json) -> None:
    """Some generators of typed clients require each property that has a default."""
    for field in schema["properties"].values():
        field.pop("default", None)


class RequestModel(BaseModel, extra="forbid", json_schema_extra=_without_defaults):
    """Base of what is received: unknown fields are refused, and values of another type."""

    model_config = ConfigDict(frozen=True, strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _check_count(cls, fields: Any) -> Any:
        if len(fields) > FIELDS_MAX:
            raise ValueError(f"At most {FIELDS_MAX} fields.")
        return fields


def _as_url_list(value: object) -> object:
    """One or several URLs; each may be an object that holds it, as in OpenAI's content parts."""
    if value is None:
        return []
    urls = value if isinstance(value, list) else [value]
    return [one["url"] if isinstance(one, dict) and one.keys() == {"url"} else one for one in urls]


def _blank_is_default(value: object) -> object:
    blank = value is None or (isinstance(value, str) and not value.strip())
    return DEFAULT_PROMPT if blank else value


def _whole(value: object) -> object:
    """To JSON Schema 32.0 is an integer; to strict validation it is none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


OutputTokens = Annotated[int, Field(ge=16, le=65_536), BeforeValidator(_whole)]
URL, OBJECT = {"type": "string"}, {"type": "object", "additionalProperties": False}
URL_OR_OBJECT = [URL, OBJECT | {"required": ["url"], "properties": {"url": URL}}]
URLS = {"type": "array", "items": {"anyOf": URL_OR_OBJECT}}
Urls = Annotated[
    list[str],
    Field(fail_fast=True),
    BeforeValidator(_as_url_list),
    WithJsonSchema({"anyOf": [*URL_OR_OBJECT, URLS, {"type": "null"}]}),
]


class SearchRequest(RequestModel):
    """A search, in JSON."""

    image_url: Urls = []
    """The image, or several: `http(s)` URLs, or `data:` URLs that hold it; each also as an object
    with a `url`."""
    prompt: Annotated[
        str, BeforeValidator(_blank_is_default), WithJsonSchema({"type": ["string", "null"]})
    ] = DEFAULT_PROMPT
    """The question about the image. Default: "Find visually similar images and describe what they
    have in common."."""
    model: str | None = None
    """One of the models that this service offers. Default: the service's."""
    instructions: str | None = None
    """Instructions for the model, at most as long as a prompt."""
    previous_response_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")] | None = None
    """`upstream_response_id` of an earlier search: a follow-up question, which needs no image."""
    max_output_tokens: OutputTokens | None = None
    """Upper bound of the answer, in tokens, reasoning included. Default: the model's own."""
    thinking: bool | None = None
    """`false` answers faster, without reasoning. Default: true."""
    background: bool | None = None
    """`true`: go on to the end although every reader leaves; `POST /search` answers 202 at once.
    Default: false."""
    fresh: bool | None = None
    """`true`: do not reuse a finished search. Default: false."""


class TextFields(SearchRequest, strict=False):
    """The same fields where all values are text: one that was left empty counts as not given."""

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, fields: Any) -> Any:
        found = {n: value for n, value in fields.items() if value or n not in cls.model_fields}
        if urls := [url for url in found.pop("image_url", ()) if url]:
            found["image_url"] = urls
        return found


class SearchForm(TextFields):
    """A search as multipart/form-data: the same fields as text, and files."""

    image: list[Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary"})]] = []
    """Image files, repeated for several; they count after those of `image_url`."""


class StreamQuery(TextFields):
    """A search as query parameters; others that EventSource clients send have to be known too."""

    access_token: str | None = None
    """A browser token, where no header can be sent."""
    last_event_id: Annotated[str | None, Field(alias="lastEventId")] = None
    """Same as the header `Last-Event-ID`."""
    cache_buster: Annotated[str | None, Field(alias="_", description="Ignored.")] = None


class TokenRequest(RequestModel):
    """What a browser token is for; all of it may be left out."""

    origin: str | None = None
    """The only pages that may use the token, as an origin: `https://app.example`. Default: any."""
    ttl_s: Annotated[int, BeforeValidator(_whole)] | None = None
    """Life of the token, in seconds. Default and upper bound: CLIENT_TOKEN_TTL_S."""


class OpenAIErrorBody(ApiModel):
    """What went wrong."""

    message: str = Field(description="What happened, for humans.")
    type: str = Field(description="OpenAI's kind of error.")
    param: str | None = Field(description="The field that was refused, if one was.")
    code: str = Field(description="What happened, for programs: this service's code.")


class OpenAIError(ApiModel):
    """An error under `/v1`, in OpenAI's shape."""

    error: OpenAIErrorBody = Field(description="The error.")

    @classmethod
    def of(cls, error: ServiceError) -> Self:
        """The same error with our code; `param` is the first field that was refused."""
        other = "invalid_request_error" if isinstance(error, CallerError) else "server_error"
        kind = OPENAI_TYPES.get(error.status, other)
        reasons = "; ".join(f"{field.field}: {field.reason}" for field in error.fields)
        message = f"{error.detail} {reasons}".rstrip()
        param = error.fields[0].field if error.fields else None
        return cls(error=OpenAIErrorBody(message=message, type=kind, param=param, code=error.code))


TABLE = tomllib.loads(Path(__file__).with_name("response_events.toml").read_text("utf-8"))
TYPES: Json = {"object": Json, "integer": int, "string": str}
MEMBERS = {n: (TYPES[kind], Field(description=d)) for n, (d, kind) in TABLE["members"].items()}


def _upstream_event(name: str, members: str) -> type[BaseModel]:
    """The model of an event: `ResponseOutputTextDelta` for `response.output_text.delta`."""
    fields: Json = {"type": (Literal[name], Field(description="Name of the event."))}
    fields |= {member: MEMBERS[member] for member in members.split()}
    text = "An event of the Responses API, relayed as it came."
    return pydantic.create_model(to_pascal(name.replace(".", "_")), __doc__=text, **fields)


RELAYED = tuple(
    _upstream_event(f"response.{name}", members)
    for members, names in TABLE["events"].items()
    for name in names.split()
)
EVENTS = (*SYNTHETIC_EVENTS, *RELAYED)
BY_TYPE = Field(discriminator="type")


class ResponseEvent(pydantic.RootModel[Annotated[reduce(or_, RELAYED), BY_TYPE]]):  # type: ignore[misc] # made at run time
    """`data` of any event of a `/v1` stream."""


class StreamEvent(pydantic.RootModel[Annotated[reduce(or_, EVENTS), BY_TYPE]]):  # type: ignore[misc] # as above
    """`data` of any event of a search's stream, told apart by `type`."""
