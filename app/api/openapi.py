"""The contract for machines: what FastAPI cannot see in handlers that read their own body."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.schemas import OWN_EVENTS, SearchRequest, event_stream_schema

REF = "#/components/schemas/{model}"

_BODY_REF = {"$ref": REF.format(model="SearchRequest")}
_IMAGE_FILES = {
    "type": "object",
    "properties": {
        "image": {"type": "array", "items": {"type": "string", "format": "binary"}},
    },
}
SEARCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _BODY_REF},
            "multipart/form-data": {"schema": {"allOf": [_BODY_REF, _IMAGE_FILES]}},
        },
    }
}
SEARCH_QUERY: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in SearchRequest.model_json_schema(ref_template=REF)["properties"].items()
    ]
}
STREAM_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, ended by exactly one of search.completed, .failed, .cancelled.",
        "content": {
            "text/event-stream": {
                "schema": event_stream_schema(),
                "itemSchema": event_stream_schema(),
            }
        },
    },
    204: {"description": "The search has ended and its last event was seen."},
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        models: set[type[BaseModel]] = {SearchRequest, *OWN_EVENTS.values()}
        _, schemas = models_json_schema(
            [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
            ref_template=REF,
        )
        known = document.setdefault("components", {}).setdefault("schemas", {})
        document["components"]["schemas"] = schemas["$defs"] | known
        app.openapi_schema = document
    return app.openapi_schema
