"""The OpenAPI document: what it says of bodies, events and failures holds for real ones.

That each answer is as documented is checked on every answer of every test: `tests/contract.py`.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.main import create_app
from app.settings import load
from tests.contract import Contract
from tests.e2e.asking import IMAGE_URL
from tests.service import KEY, running

STREAMS = (
    ("/search/stream", "post"),
    ("/search/stream", "get"),
    ("/search/{search_id}/stream", "get"),
)
CODES = {
    *((400, "malformed_body"), (401, "unauthorized"), (402, "budget_exceeded")),
    *((403, "origin_not_allowed"), (403, "forbidden"), (404, "not_found")),
    *((404, "search_not_found"), (406, "not_acceptable"), (413, "image_too_large")),
    *((415, "image_type_unsupported"), (422, "invalid_request"), (422, "image_missing")),
    *((422, "image_unreadable"), (422, "image_dimensions"), (422, "image_url_invalid")),
    *((422, "model_not_allowed"), (422, "idempotency_mismatch"), (422, "image_unfetchable")),
    *((422, "content_blocked"), (429, "rate_limited"), (431, "head_too_large")),
    *((500, "internal"), (502, "upstream_auth_failed"), (502, "upstream_account")),
    *((502, "upstream_rejected"), (502, "upstream_unavailable"), (502, "upstream_interrupted")),
    *((502, "upstream_protocol"), (503, "upstream_rate_limited"), (503, "overloaded")),
    *((503, "draining"), (504, "upstream_timeout")),
}
"""Of the contract, where an operation can answer with them."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    settings = load(_env_file=None, allow_anonymous=True, dashscope_api_key=KEY)
    written: dict[str, Any] = json.loads(json.dumps(create_app(settings).openapi()))
    return written


def valid(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    known = document["components"]["schemas"]
    text = json.dumps({"$defs": known} | schema).replace("#/components/schemas/", "#/$defs/")
    return Draft202012Validator(json.loads(text)).is_valid(value)


def values_in(value: Any, *names: str) -> Iterator[Any]:
    """All members of such a name, at any depth."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield from (value[name] for name in names if name in value)
    for one in inner:
        yield from values_in(one, *names)


def test_every_schema_is_one_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = document["components"]
    for schema in [*values_in(document, "schema", "itemSchema"), *known["schemas"].values()]:
        Draft202012Validator.check_schema(schema)
    for reference in values_in(document, "$ref"):
        assert Contract(document).resolved({"$ref": reference})


JSON_BODIES: list[tuple[dict[str, Any], bool]] = [
    ({"image_url": IMAGE_URL}, True),
    ({"image_url": [IMAGE_URL, IMAGE_URL], "prompt": "x", "thinking": False}, True),
    ({"image_url": IMAGE_URL, "prompt": None, "instructions": None}, True),
    ({"image_url": IMAGE_URL, "max_output_tokens": 16, "model": None}, True),
    ({"image_url": 5}, False),
    ({"image_url": IMAGE_URL, "max_output_tokens": 15}, False),
    ({"image_url": IMAGE_URL, "nonsense": 1}, False),
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
            answer = await service.http.post("/search", json=body)
            assert (answer.status_code == 200) is good, body


FORMS: list[tuple[dict[str, Any], bool]] = [
    ({"image": ["bytes"]}, True),
    ({"image": ["bytes", "bytes"], "image_url": IMAGE_URL, "prompt": "x"}, True),
    ({"image_url": [IMAGE_URL]}, True),
    ({"image": ["bytes"], "nonsense": "x"}, False),
]


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
def test_the_schema_of_a_form_has_the_same_fields_and_files(
    document: dict[str, Any], path: str
) -> None:
    content = document["paths"][path]["post"]["requestBody"]["content"]
    for form, good in FORMS:
        assert valid(document, content["multipart/form-data"]["schema"], form) is good, form


@pytest.mark.parametrize(("path", "method"), STREAMS)
async def test_the_schema_of_a_stream_describes_each_event_that_comes(
    document: dict[str, Any], path: str, method: str
) -> None:
    content = document["paths"][path][method]["responses"]["200"]["content"]
    assert list(content) == ["text/event-stream"]
    schema = content["text/event-stream"]["schema"]
    union = Contract(document).resolved(schema)
    assert union["oneOf"]
    async with running(stream_progress_s=1) as service:
        for scenario in ("normal", "no_results", "incomplete", "failed_mid_stream"):
            asked = {"image_url": IMAGE_URL, "prompt": f"[sim {scenario}]"}
            _, events = await service.stream(json=asked)
            assert len(events) > 3
            for event in events:
                assert valid(document, union, event.json()), event.event
    assert not valid(document, union, {"type": 5})
    assert not valid(document, union, [])


def test_security_and_headers_stand_where_they_count(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"].values()
    assert {("http", "bearer"), ("apiKey", None)} == {
        (one["type"], one.get("scheme")) for one in schemes
    }
    by_url = next(
        name
        for name, one in document["components"]["securitySchemes"].items()
        if one.get("name") == "access_token"
    )
    for path, method, operation in Contract(document).operations():
        reads_stream = method == "get" and path.startswith("/search") and path.endswith("/stream")
        assert ({by_url: []} in operation.get("security", [])) is reads_stream, (path, method)
        named = [one["name"] for one in operation.get("parameters", [])]
        assert len(named) == len(set(named)), (path, method)
        assert path not in {one for one, _ in STREAMS} or "Last-Event-ID" in named


def test_every_status_has_its_codes_and_the_headers_that_come_with_it(
    document: dict[str, Any],
) -> None:
    contract, documented = Contract(document), set()
    for path, method, operation in contract.operations():
        for status, reference in operation["responses"].items():
            answer = contract.resolved(reference)
            headers = answer.get("headers", {})
            assert ("Retry-After" in headers) is (status in {"429", "503"}), (path, method, status)
            lists = values_in(answer.get("content", {}), "enum")
            documented |= {(int(status), code) for codes in lists for code in codes}
    assert documented >= CODES


def test_the_models_on_offer_are_named() -> None:
    models = ["qwen3.7-plus", "qwen3.5-flash"]
    given = {"allow_anonymous": True, "dashscope_api_key": KEY, "allowed_models": ",".join(models)}
    document = create_app(load(_env_file=None, **given)).openapi()
    schema = document["components"]["schemas"]["SearchRequest"]
    assert models in list(values_in(document, "enum"))
    for model, good in ((models[0], True), ("gpt-4", False)):
        assert valid(document, schema, {"model": model, "image_url": IMAGE_URL}) is good
