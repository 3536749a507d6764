"""The contract for machines: what FastAPI cannot see in handlers that read their own body.

OpenAPI 3.1, as generators for typed clients want it, with the one member of 3.2 that FastAPI
uses too: `itemSchema`.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.headers import SENT, SENT_HEADERS, Operation, read_by, sent
from app.api.refusals import refusal_components, refusals_of
from app.api.responses_schemas import OpenAIError
from app.api.schemas import OWN_EVENTS, SearchRequest
from app.api.stream_schema import STREAM, stream_schemas

Json = dict[str, Any]

REF = "#/components/schemas/{model}"
NULL = {"type": "null"}
OFFERED = {"$ref": REF.format(model="Model")}
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


def _form_properties() -> Json:
    """The fields of a search where all is text: nothing there can be null."""
    schema = _with_models(SearchRequest.model_json_schema(ref_template=REF))
    return {name: _without_null(one) for name, one in schema["properties"].items()}


def _with_models(schema: Json) -> Json:
    """Refer to the models on offer, where pydantic knows of any text."""
    schema["properties"]["model"]["anyOf"] = [OFFERED, NULL]
    return schema


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
        "content": {"text/event-stream": STREAM},
    },
    204: {
        "description": "The search has ended and its last event was seen.",
        "headers": sent("X-Search-ID"),
    },
}


BY_SEARCH = {"search_id": "$response.header.X-Search-ID"}
BY_RESPONSE = {"response_id": "$response.body#/id"}
LINKS: dict[str, tuple[Operation, Json]] = {
    "State": (("get", "/search/{search_id}"), BY_SEARCH),
    "Replay": (("get", "/search/{search_id}/stream"), BY_SEARCH),
    "Stop": (("delete", "/search/{search_id}"), BY_SEARCH),
    "Retrieve": (("get", "/v1/responses/{response_id}"), BY_RESPONSE),
    "InputItems": (("get", "/v1/responses/{response_id}/input_items"), BY_RESPONSE),
    "Delete": (("delete", "/v1/responses/{response_id}"), BY_RESPONSE),
}
LEADS_TO: dict[Operation, tuple[str, ...]] = {
    ("post", "/search"): ("State", "Replay", "Stop"),
    ("post", "/search/stream"): ("State", "Replay", "Stop"),
    ("get", "/search/stream"): ("State", "Replay", "Stop"),
    ("post", "/v1/responses"): ("Retrieve", "InputItems", "Delete"),
}
"""What can be asked with the id that an answer bears."""


def describe(app: FastAPI, models: Sequence[str]) -> Json:
    """Return the OpenAPI document of a service that offers these models; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        paths = document["paths"]
        for path, item in paths.items():
            for method, operation in item.items():
                _complete(operation, (method, path))
        components = document.setdefault("components", {})
        components["schemas"] = _own_schemas(models) | components.get("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(unused, None)
        components["responses"] = refusal_components()
        components["headers"] = SENT_HEADERS
        components["links"] = {
            name: {"operationId": paths[path][method]["operationId"], "parameters": parameters}
            for name, ((method, path), parameters) in LINKS.items()
        }
        components["securitySchemes"] = SECURITY_SCHEMES
        app.openapi_schema = document
    return app.openapi_schema


def _own_schemas(models: Sequence[str]) -> Json:
    bodies: set[type[BaseModel]] = {SearchRequest, OpenAIError, *OWN_EVENTS.values()}
    _, schemas = models_json_schema(
        [(body, "validation") for body in sorted(bodies, key=lambda body: body.__name__)],
        ref_template=REF,
    )
    known: Json = schemas["$defs"]
    _with_models(known["SearchRequest"])
    offered = {"type": "string", "title": "Model", "enum": list(models)}
    return {**known, **stream_schemas(), "SearchForm": SEARCH_FORM, "Model": offered}


def _complete(operation: Json, known_as: Operation) -> None:
    """Put into one operation what its handler reads and answers by itself."""
    method, path = known_as
    operation["parameters"] = operation.get("parameters", []) + read_by(known_as)
    if path not in OPEN_PATHS:
        by_url = method == "get" and path.endswith("/stream")
        operation["security"] = [
            {name: []} for name in SECURITY_SCHEMES if name == "bearer" or by_url
        ]
    answers = operation["responses"]
    _correct(answers)
    answers["200"]["headers"] = sent(*SENT.get(known_as, ()))
    if links := LEADS_TO.get(known_as):
        answers["200"]["links"] = {name: {"$ref": f"#/components/links/{name}"} for name in links}
    operation["responses"] = dict(sorted((answers | refusals_of(known_as)).items()))


def _correct(answers: Json) -> None:
    """Undo what FastAPI takes for granted: that a 422 is its own, and that all answers are JSON."""
    answers.pop("422", None)
    content = answers["200"].get("content", {})
    if "text/event-stream" in content and not content.get("application/json", {}).get("schema"):
        content.pop("application/json", None)
