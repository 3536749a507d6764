"""The contract for machines: what FastAPI cannot see in handlers that read their own body.

OpenAPI 3.1, as generators for typed clients want it, with the one member of 3.2 that FastAPI
uses too: `itemSchema`.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.schemas import OWN_EVENTS, SearchRequest
from app.api.stream_schema import stream_data_schema, stream_item_schema

Json = dict[str, Any]

REF = "#/components/schemas/{model}"
NULL = {"type": "null"}
OPENAI_PREFIX = "/v1/"
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

SECURITY_SCHEMES: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A client key or a browser token; not needed with ALLOW_ANONYMOUS.",
    },
    "accessToken": {
        "type": "apiKey",
        "in": "query",
        "name": "access_token",
        "description": "A browser token, where an EventSource can send no header.",
    },
}

HEADERS: dict[str, Json] = {
    "X-Request-ID": {
        "description": "Kept as the request's id if well formed; else one is made.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    },
    "Idempotency-Key": {
        "description": "The same key with the same request joins its search.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "Cache-Control": {
        "description": "`no-cache`: do not answer with a search that has finished.",
        "schema": {"type": "string"},
    },
    "Last-Event-ID": {
        "description": "Go on behind this event, whatever the query or body says.",
        "schema": {"type": "string", "pattern": "^srch_[0-9a-f]{32}:[0-9]+$"},
    },
    "X-Stream-Repair": {
        "description": "Put right what a client's helper for streams cannot read.",
        "schema": {"type": "string", "enum": ["openai"]},
    },
}
READ: dict[tuple[str, str], tuple[str, ...]] = {
    ("post", "/search"): ("Idempotency-Key", "Cache-Control"),
    ("post", "/search/stream"): ("Idempotency-Key", "Cache-Control", "Last-Event-ID"),
    ("get", "/search/stream"): ("Idempotency-Key", "Cache-Control", "Last-Event-ID"),
    ("get", "/search/{search_id}/stream"): ("Last-Event-ID",),
    ("post", "/v1/responses"): ("Idempotency-Key", "X-Stream-Repair"),
}
"""Which of them an operation reads, beside X-Request-ID."""


def _form_properties() -> Json:
    """The fields of a search where all is text: nothing there can be null."""
    properties = SearchRequest.model_json_schema(ref_template=REF)["properties"]
    return {name: _without_null(schema) for name, schema in properties.items()}


def _without_null(schema: Json) -> Json:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != NULL]
    left = {
        name: value
        for name, value in schema.items()
        if name != "anyOf" and not (name == "default" and value in (None, []))
    }
    return left | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


SEARCH_FORM: Json = {
    "type": "object",
    "title": "SearchForm",
    "additionalProperties": False,
    "properties": _form_properties()
    | {
        "image": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "One or several files.",
        }
    },
}
SEARCH_BODY: Json = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": REF.format(model="SearchRequest")}},
            "multipart/form-data": {"schema": {"$ref": REF.format(model="SearchForm")}},
        },
    }
}
SEARCH_QUERY: Json = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in _form_properties().items()
    ]
}
REPLAY_QUERY: Json = {
    "parameters": [
        {
            "name": "after",
            "in": "query",
            "required": False,
            "description": "How many events were seen, where no Last-Event-ID can be sent.",
            "schema": {"type": "integer", "minimum": 0},
        }
    ]
}
STREAM_RESPONSE: dict[int | str, Json] = {
    200: {
        "description": "Events, ended by exactly one of search.completed, .failed, .cancelled.",
        "content": {
            "text/event-stream": {
                "schema": stream_data_schema(),
                "itemSchema": stream_item_schema(),
            }
        },
    },
    204: {"description": "The search has ended and its last event was seen."},
}


def describe(app: FastAPI) -> Json:
    """Return the OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path, item in document["paths"].items():
            for method, operation in item.items():
                _complete(operation, method, path)
        components = document.setdefault("components", {})
        components["schemas"] = _own_schemas() | components.get("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(unused, None)
        components["securitySchemes"] = SECURITY_SCHEMES
        app.openapi_schema = document
    return app.openapi_schema


def _own_schemas() -> Json:
    models: set[type[BaseModel]] = {SearchRequest, *OWN_EVENTS.values()}
    _, schemas = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template=REF,
    )
    return {**schemas["$defs"], "SearchForm": SEARCH_FORM}


def _complete(operation: Json, method: str, path: str) -> None:
    """Put into one operation what its handler reads and answers by itself."""
    parameters = operation.get("parameters", [])
    read = ("X-Request-ID", *READ.get((method, path), ()))
    headers = [{"name": name, "in": "header", "required": False} | HEADERS[name] for name in read]
    operation["parameters"] = parameters + headers
    if path not in OPEN_PATHS:
        by_url = method == "get" and path.endswith("/stream")
        operation["security"] = [
            {name: []} for name in SECURITY_SCHEMES if name == "bearer" or by_url
        ]
    _correct_answers(operation["responses"], path)


def _correct_answers(responses: Json, path: str) -> None:
    """Undo what FastAPI takes for granted: that a 422 is its own, and that all answers are JSON."""
    responses.pop("422", None)
    content = responses["200"].get("content", {})
    if "text/event-stream" in content:
        content.pop("application/json", None)
    problem = responses.get("default", {}).get("content", {})
    if not path.startswith(OPENAI_PREFIX) and "application/json" in problem:
        problem["application/problem+json"] = problem.pop("application/json")
