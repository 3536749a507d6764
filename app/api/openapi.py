"""What FastAPI cannot see in routes that read their own body and send their own streams."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.events import ResponseEvent, StreamEvent
from app.api.problems import PROBLEM
from app.api.responses_body import ResponsesBody
from app.api.schemas import OpenAIError, SearchForm, SearchRequest, TokenRequest
from app.errors import (
    HeadTooLarge,
    Internal,
    MalformedRequest,
    ServiceError,
    UpstreamError,
    leaves,
)
from app.results import Problem
from app.settings import Settings

Json = dict[str, Any]
Responses = dict[int | str, Json]
Leaf = type[ServiceError]

REF = "#/components/schemas/{model}"
REQUESTS = (SearchRequest, SearchForm, TokenRequest, ResponsesBody)
ANSWERS = (Problem, OpenAIError, StreamEvent, ResponseEvent)

ALWAYS: tuple[Leaf, ...] = (MalformedRequest, HeadTooLarge, Internal)
"""What any operation may refuse with."""

UPSTREAM: tuple[Leaf, ...] = leaves(UpstreamError)

FRAME: Json = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string"},
        "retry": {"type": "integer"},
    },
}
"""A server-sent event on the wire (OpenAPI 3.2's `itemSchema`); typed clients read `schema`."""

SEARCH_ID = "srch_[0-9a-f]{32}"
HEADERS: dict[str, Json] = {
    "X-Request-ID": {
        "description": "Id of the request, as in the logs.",
        "required": True,
        "schema": {"type": "string"},
    },
    "X-Search-ID": {
        "description": "Id of the search that the request is about.",
        "required": True,
        "schema": {"type": "string", "pattern": f"^{SEARCH_ID}$"},
    },
    "X-Cache": {
        "description": "Whether the search was started, joined while it ran, or found finished.",
        "schema": {"type": "string", "enum": ["miss", "coalesced", "hit"]},
    },
    "RateLimit": {
        "description": "What is left of the caller's rate, where there is a limit.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "The limit of the caller's rate, where there is one.",
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "Where the stream can be followed again.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds until the same request may succeed.",
        "required": True,
        "schema": {"type": "integer"},
    },
}


def headers(*names: str) -> Json:
    """Headers of a response, `X-Request-ID` among them."""
    return {name: HEADERS[name] for name in ("X-Request-ID", *names)}


def body(**media_types: type[BaseModel]) -> Json:
    """`openapi_extra` for a body that the route reads itself: `body(json=…, form=…)`."""
    names = {"json": "application/json", "form": "multipart/form-data"}
    content = {names[name]: _ref(model) for name, model in media_types.items()}
    return {"requestBody": {"required": True, "content": content}}


def events(model: type[BaseModel], *sent: str) -> Responses:
    """A 200 with an event stream; `schema` is the data of any event."""
    content = {"text/event-stream": _ref(model) | {"itemSchema": FRAME}}
    return {200: {"description": "Events.", "headers": headers(*sent), "content": content}}


def refusals(*kinds: Leaf) -> Responses:
    """The errors of an operation by status, as problems; and any other as `default`."""
    return _refusals(kinds, PROBLEM, Problem)


def openai_refusals(*kinds: Leaf) -> Responses:
    """The same in OpenAI's shape."""
    return _refusals(kinds, "application/json", OpenAIError)


def _refusals(kinds: Iterable[Leaf], media_type: str, model: type[BaseModel]) -> Responses:
    found: dict[int, list[Leaf]] = {}
    for kind in (*kinds, *ALWAYS):
        found.setdefault(kind.status, []).append(kind)
    answers: Responses = {
        status: _refusal(media_type, model, leaves) for status, leaves in sorted(found.items())
    }
    return answers | {"default": _refusal(media_type, model, [])}


def _refusal(media_type: str, model: type[BaseModel], kinds: list[Leaf]) -> Json:
    schema: Json = _ref(model)["schema"]
    if kinds:
        code = {"type": "string", "enum": [kind.code for kind in dict.fromkeys(kinds)]}
        members: Json = {"code": code}
        if model is OpenAIError:
            members = {"error": {"type": "object", "properties": members}}
        schema = {"allOf": [schema, {"type": "object", "properties": members}]}
    busy = kinds and kinds[0].status in (429, 503)
    return {
        "description": "\n".join(f"- `{kind.code}`: {kind.title}." for kind in kinds)
        or "Any other error.",
        "headers": headers(*(["Retry-After"] if busy else [])),
        "content": {media_type: {"schema": schema}},
    }


def _ref(model: type[BaseModel]) -> Json:
    return {"schema": {"$ref": REF.format(model=model.__name__)}}


def operation_id(route: APIRoute) -> str:
    """`createSearch` for `create_search`: what generated clients call the function."""
    head, *rest = route.name.split("_")
    return head + "".join(word.title() for word in rest)


def add_models(app: FastAPI, settings: Settings) -> None:
    """Have `app.openapi()` contain the models that only references name, and the settings' bounds.

    FastAPI documents this way of extending the document ("Extending OpenAPI").
    """
    generate = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            document = generate()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas |= _models()
            _set_bounds(schemas, settings)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign] # as documented


def _models() -> Json:
    wanted = [(model, "validation") for model in REQUESTS]
    answers = [(model, "serialization") for model in ANSWERS]
    _, found = models_json_schema([*wanted, *answers], ref_template=REF)  # type: ignore[list-item] # literals
    schemas: Json = found["$defs"]
    return schemas


def _set_bounds(schemas: Json, settings: Settings) -> None:
    for name in ("SearchRequest", "SearchForm"):
        fields = schemas[name]["properties"]
        fields["model"] = {"description": fields["model"]["description"]} | {
            "anyOf": [{"type": "string", "enum": list(settings.models)}, {"type": "null"}]
        }
        if settings.prompt_max_chars:
            fields["prompt"]["maxLength"] = settings.prompt_max_chars
    schemas["SearchForm"]["properties"]["image"]["maxItems"] = settings.image_max_count
