"""The bodies of `/v1` for typed clients: what can be relied on in what is passed on."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from app.api.stream_schema import RELAYED_STREAM

Json = dict[str, Any]


class OpenAIFault(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(BaseModel):
    """An error body as OpenAI's API has it, with this service's codes."""

    error: OpenAIFault


class ResponseBody(BaseModel):
    """An answer as the upstream gave it, with many more members; an `id` it has forgotten too."""

    model_config = ConfigDict(json_schema_extra={"required": ["output"]})

    id: str
    output: list[dict[str, Any]]


class DeletedBody(BaseModel):
    """The upstream's word that it has forgotten an answer."""

    id: str
    deleted: bool


class InputItemsBody(BaseModel):
    """A page of what an answer was asked."""

    data: list[dict[str, Any]]
    has_more: bool


class ModelBody(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsBody(BaseModel):
    """The models that may be named."""

    object: Literal["list"]
    data: list[ModelBody]


CREATE_BODY: Json = {
    "requestBody": {
        "required": True,
        "description": "As OpenAI's and DashScope's Responses API have it.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model", "input"],
                    "properties": {
                        "model": {"$ref": "#/components/schemas/Model"},
                        "input": {
                            "anyOf": [
                                {"type": "string"},
                                {"type": "array", "items": {"type": "object"}},
                            ]
                        },
                        "stream": {"type": ["boolean", "null"]},
                        "tools": {
                            "type": ["array", "null"],
                            "items": {
                                "type": "object",
                                "required": ["type"],
                                "properties": {"type": {"type": "string"}},
                            },
                        },
                        "previous_response_id": {"type": ["string", "null"]},
                    },
                }
            }
        },
    }
}
CREATED: dict[int | str, Json] = {
    200: {
        "description": "The answer, whole or as the upstream's events.",
        "content": {"text/event-stream": RELAYED_STREAM},
    }
}
PAGE_QUERY: Json = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in (
            ("after", {"type": "string"}),
            ("limit", {"type": "integer", "minimum": 1, "maximum": 100}),
            ("order", {"type": "string"}),
        )
    ]
}
