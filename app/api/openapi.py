"""What FastAPI cannot see in routes that read their own body and send their own streams."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app import errors
from app.api import schemas
from app.api.problems import JSON, PROBLEM
from app.api.schemas import OpenAIError, SearchForm, SearchRequest
from app.errors import DEFAULT_RETRY_AFTER_S, ServiceError, UpstreamError, leaves
from app.results import Problem
from app.settings import Settings
from app.upstream.lenient import Json

Responses = dict[int | str, Json]

REF = "#/components/schemas/{model}"

ALWAYS = (errors.MalformedRequest, errors.HostNotAllowed, errors.HeadTooLarge, errors.Internal)
IDENTIFIED = (errors.Unauthorized, errors.TokenExpired, errors.OriginNotAllowed, errors.Overloaded)
STARTED = (
    *IDENTIFIED,
    *(errors.RateLimited, errors.BudgetExceeded, errors.Draining),
    *(errors.InvalidRequest, errors.ModelNotAllowed, errors.IdempotencyMismatch),
    *(kind for kind in leaves() if kind.code.startswith("image_")),
)
UPLOADED = (*STARTED, errors.MalformedBody, errors.UploadTimeout, errors.EncodingUnsupported)
UPSTREAM = (*leaves(UpstreamError), errors.OwnerLost, errors.ContentBlocked)

HEADERS = {
    "X-Request-ID": "Id of the request, as in the logs.",
    "X-Search-ID": "Id of the search that the request is about.",
    "X-Cache": "`miss`: started; `coalesced`: joined while it ran; `hit`: found finished.",
    "RateLimit": "What is left of the caller's rate, where there is a limit.",
    "RateLimit-Policy": "The limit of the caller's rate, where there is one.",
    "Location": "Where the search, or its stream, can be found again.",
    "Preference-Applied": "What of `Prefer` was heeded.",
    "Server-Timing": "Milliseconds of `intake`, `queue` and `upstream`, as far as they are known.",
    "Retry-After": "Seconds until the same request may succeed.",
}
STRING, DATA = {"type": "string"}, {"type": "string", "contentMediaType": JSON}
FIELDS = {"event": STRING, "data": DATA, "id": STRING, "retry": {"type": "integer"}}
FRAME: Json = {"type": "object", "required": ["event", "data"], "properties": FIELDS}
"""A server-sent event on the wire (OpenAPI 3.2's `itemSchema`)."""


def answer(*headers: str, status: int | str = 200, **more: Any) -> Responses:
    """A response's headers, beside `X-Request-ID`, and what `more` there is to say of it."""
    names = ("X-Request-ID", *headers)
    described = {name: {"description": HEADERS[name], "schema": STRING} for name in names}
    return {status: {"headers": described} | more}


def events(model: type[BaseModel], /, *headers: str, **more: Any) -> Responses:
    """A 200 with an event stream; `schema`, which typed clients read, is any event's data."""
    content = {"text/event-stream": {"schema": _reference(model), "itemSchema": FRAME}}
    return answer(*headers, description="Events.", content=content, **more)


def body(*, required: bool = True, **media_types: type[BaseModel]) -> Json:
    """`openapi_extra` for a body that the route reads itself: `body(json=…, form=…)`."""
    names = {"json": JSON, "form": "multipart/form-data"}
    content = {names[name]: {"schema": _reference(model)} for name, model in media_types.items()}
    return {"requestBody": {"required": required, "content": content}}


def refusals(*kinds: type[ServiceError], model: type[BaseModel] = Problem) -> Responses:
    """The errors of an operation by status, in the shape of `model`; and any other as `default`."""
    media_type = PROBLEM if model is Problem else JSON
    content = {media_type: {"schema": _reference(model)}}
    found = answer(status="default", description="Other.", content=content)
    for status in dict.fromkeys(kind.status for kind in (*kinds, *ALWAYS)):
        some = [kind for kind in (*kinds, *ALWAYS) if kind.status == status]
        members: Json = {"code": {"type": "string", "enum": [kind.code for kind in some]}}
        if model is OpenAIError:
            members = {"error": {"type": "object", "properties": members}}
        schema = {"allOf": [_reference(model), {"type": "object", "properties": members}]}
        headers = ["Retry-After"] if status in DEFAULT_RETRY_AFTER_S else []
        text = "\n".join(f"- `{kind.code}`: {kind.title}." for kind in some)
        content = {media_type: {"schema": schema}}
        found |= answer(*headers, status=status, description=text, content=content)
    return found


def _reference(model: type[BaseModel]) -> Json:
    return {"$ref": REF.format(model=model.__name__)}


def add_models(app: FastAPI, settings: Settings, *requests: type[BaseModel]) -> None:
    """Extend `app.openapi()` by models that only references name, and by the settings' bounds."""
    generate = app.openapi
    received = (SearchRequest, SearchForm, schemas.TokenRequest, *requests)
    sent = (Problem, OpenAIError, schemas.StreamEvent, schemas.ResponseEvent)
    models = [(one, "validation") for one in received] + [(one, "serialization") for one in sent]

    def openapi() -> Json:
        if app.openapi_schema is None:
            known = generate()["components"]["schemas"]
            _, found = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type] # literals
            known.update(found["$defs"])
            model = {"type": "string", "enum": list(settings.models)}
            for name in ("SearchRequest", "SearchForm"):
                known[name]["properties"]["model"]["anyOf"] = [model, {"type": "null"}]
                if settings.prompt_max_chars:
                    known[name]["properties"]["prompt"]["maxLength"] = settings.prompt_max_chars
            known["SearchForm"]["properties"]["image"]["maxItems"] = settings.image_max_count
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign] # as documented
