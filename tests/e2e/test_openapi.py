"""The contract for machines: what it says of bodies and events holds for real ones."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.main import create_app
from app.settings import IMAGE_SEARCH_MODELS, load
from simulator.pictures import PICTURES
from tests.contract import Contract
from tests.service import GALLERY_URL, KEY, running

URL = GALLERY_URL + PICTURES[7].name
STREAMS = (
    ("/search/stream", "post"),
    ("/search/stream", "get"),
    ("/search/{search_id}/stream", "get"),
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    settings = load(_env_file=None, allow_anonymous=True, dashscope_api_key=KEY)
    app = create_app(settings)
    assert app.openapi() is app.openapi()
    written: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return written


def valid(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    known = document["components"]["schemas"]
    text = json.dumps({"$defs": known} | schema).replace("#/components/schemas/", "#/$defs/")
    return Draft202012Validator(json.loads(text)).is_valid(value)


def content_of(document: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    answer = document["paths"][path][method]["responses"]["200"]
    content: dict[str, Any] = answer["content"]
    assert list(content) == ["text/event-stream"]
    views = content["text/event-stream"].items()
    return {view: Contract(document).resolved(one) for view, one in views}


def schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document that stands where a schema may."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in {"schema", "itemSchema"}:
                yield inner
            yield from schemas_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas_in(inner)


def test_every_schema_is_one_and_every_reference_leads_somewhere(
    document: dict[str, Any],
) -> None:
    written = json.dumps(document)
    known = document["components"]
    for schema in [*schemas_in(document), *known["schemas"].values()]:
        Draft202012Validator.check_schema(schema)
    referred = {tuple(one.split('"')[0].split("/")) for one in written.split('"#/components/')[1:]}
    kinds = ("schemas", "responses", "headers", "links")
    assert referred == {(kind, name) for kind in kinds for name in known[kind]}


JSON_BODIES: list[tuple[dict[str, Any], bool]] = [
    ({"image_url": URL}, True),
    ({"image_url": [URL, URL], "prompt": "x", "thinking": False}, True),
    ({"image_url": URL, "prompt": None, "instructions": None}, True),
    ({"image_url": URL, "max_output_tokens": 16, "model": None}, True),
    ({"image_url": 5}, False),
    ({"image_url": URL, "max_output_tokens": 15}, False),
    ({"image_url": URL, "nonsense": 1}, False),
    ({"image": ["x"]}, False),
]


async def test_the_schema_of_a_json_body_takes_what_the_service_takes(
    document: dict[str, Any],
) -> None:
    async with running() as service:
        for path in ("/search", "/search/stream"):
            content = document["paths"][path]["post"]["requestBody"]["content"]
            for body, good in JSON_BODIES:
                assert valid(document, content["application/json"]["schema"], body) is good, body
        for body, good in JSON_BODIES:
            refused = (await service.http.post("/search", json=body)).json().get("code")
            assert (refused == "invalid_request") is not good or refused is None, body


FORMS: list[tuple[dict[str, Any], bool]] = [
    ({"image": ["bytes"]}, True),
    ({"image": ["bytes", "bytes"], "image_url": URL, "prompt": "x"}, True),
    ({"image_url": [URL]}, True),
    ({"image": "bytes"}, False),
    ({"image": ["bytes"], "nonsense": "x"}, False),
    ({"image_url": None}, False),
]


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
def test_the_schema_of_a_form_has_the_same_fields_and_files(
    document: dict[str, Any], path: str
) -> None:
    content = document["paths"][path]["post"]["requestBody"]["content"]
    for form, good in FORMS:
        assert valid(document, content["multipart/form-data"]["schema"], form) is good, form
    form_fields = set(document["components"]["schemas"]["SearchForm"]["properties"])
    fields = set(document["components"]["schemas"]["SearchRequest"]["properties"])
    assert form_fields - fields == {"image"}
    assert fields <= form_fields


@pytest.mark.parametrize(("path", "method"), STREAMS)
async def test_the_schemas_of_a_stream_describe_each_event_that_comes(
    document: dict[str, Any], path: str, method: str
) -> None:
    stream = content_of(document, path, method)
    async with running() as service:
        streams = [
            await service.stream(json={"image_url": URL}),
            await service.stream(json={"image_url": URL, "prompt": "[sim failed_mid_stream]"}),
        ]
    for _, events in streams:
        assert events
        for event in events:
            assert valid(document, stream["schema"], event.json()), event.event
            one = next(one for one in stream["schema"]["oneOf"] if event.event == one["title"])
            assert valid(document, one, event.json()), event.event
            assert valid(document, stream["itemSchema"], event._asdict()), event.event


@pytest.mark.parametrize(("path", "method"), STREAMS)
def test_relayed_events_are_told_apart_by_type_and_ours_by_their_names(
    document: dict[str, Any], path: str, method: str
) -> None:
    stream = content_of(document, path, method)
    for one in stream["schema"]["oneOf"]:
        if one["title"].startswith("response."):
            assert one["properties"]["type"] == {"type": "string", "const": one["title"]}
    names = [one["properties"]["event"].get("const") for one in stream["itemSchema"]["oneOf"]]
    assert names == [
        "search.created",
        "search.results",
        "search.progress",
        "search.completed",
        "search.cancelled",
        "search.failed",
        None,
    ]


def test_security_and_headers_stand_where_they_count(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert (schemes["accessToken"]["in"], schemes["accessToken"]["name"]) == (
        "query",
        "access_token",
    )
    by_url = {
        (path, method)
        for path, method, operation in Contract(document).operations()
        if {"accessToken": []} in operation.get("security", [])
    }
    assert by_url == {("/search/stream", "get"), ("/search/{search_id}/stream", "get")}
    for path, method, operation in Contract(document).operations():
        named = [one["name"] for one in operation["parameters"]]
        assert len(named) == len(set(named)), (path, method)
        assert "X-Request-ID" in named
        assert ("Last-Event-ID" in named) is path.endswith("/stream"), (path, method)
        assert ("Pragma" in named) is ((path, method) == ("/search/stream", "get"))
    starts = document["paths"]["/search"]["post"]["parameters"]
    assert [one["name"] for one in starts] == ["X-Request-ID", "Idempotency-Key", "Cache-Control"]
    replay = document["paths"]["/search/{search_id}/stream"]["get"]["parameters"]
    after = next(one for one in replay if one["name"] == "after")
    assert after["schema"] == {"type": "integer", "minimum": 0}


def test_the_models_on_offer_are_named(document: dict[str, Any]) -> None:
    assert tuple(document["components"]["schemas"]["Model"]["enum"]) == IMAGE_SEARCH_MODELS
    schema = document["components"]["schemas"]["SearchRequest"]
    assert valid(document, schema, {"model": IMAGE_SEARCH_MODELS[0]})
    assert not valid(document, schema, {"model": "gpt-4"})
