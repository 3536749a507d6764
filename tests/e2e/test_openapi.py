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

Json = dict[str, Any]
STREAMS = (
    *(("/search/stream", "post"), ("/search/stream", "get")),
    ("/search/{search_id}/stream", "get"),
)
CODES: dict[int, str] = {
    400: "malformed_body",
    401: "unauthorized",
    402: "budget_exceeded",
    403: "origin_not_allowed forbidden",
    404: "not_found search_not_found",
    406: "not_acceptable",
    413: "image_too_large",
    415: "image_type_unsupported",
    422: """invalid_request image_missing image_unreadable image_dimensions image_url_invalid
        model_not_allowed idempotency_mismatch image_unfetchable content_blocked""",
    429: "rate_limited",
    431: "head_too_large",
    500: "internal",
    502: """upstream_auth_failed upstream_account upstream_rejected upstream_unavailable
        upstream_interrupted upstream_protocol""",
    503: "upstream_rate_limited overloaded draining",
    504: "upstream_timeout",
}
"""Of the contract, where an operation can answer with them."""


@pytest.fixture(scope="module")
def document() -> Json:
    settings = load(_env_file=None, allow_anonymous=True, dashscope_api_key=KEY)
    written: Json = json.loads(json.dumps(create_app(settings).openapi()))
    return written


def valid(document: Json, schema: Json, value: Any) -> bool:
    root = {"components": document["components"]} | schema
    return Draft202012Validator(root).is_valid(value)


def values_in(value: Any, *names: str) -> Iterator[Any]:
    """All members of such a name, at any depth."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield from (value[name] for name in names if name in value)
    for one in inner:
        yield from values_in(one, *names)


async def test_the_schema_of_a_stream_describes_each_event_that_comes(document: Json) -> None:
    unions = []
    for path, method in STREAMS:
        content = document["paths"][path][method]["responses"]["200"]["content"]
        assert list(content) == ["text/event-stream"]
        unions.append(Contract(document).resolved(content["text/event-stream"]["schema"]))
    async with running(stream_progress_s=1) as service:
        for scenario in ("normal", "no_results", "incomplete", "failed_mid_stream"):
            asked = {"image_url": IMAGE_URL, "prompt": f"[sim {scenario}]"}
            _, events = await service.stream(json=asked)
            assert len(events) > 3
            for event in events:
                assert valid(document, unions[0], event.json()), event.event
    for union in unions:
        assert union["oneOf"] == unions[0]["oneOf"]
        assert not valid(document, union, {"type": 5})
        assert not valid(document, union, [])


def test_security_headers_and_codes_stand_where_they_count(document: Json) -> None:
    schemes = document["components"]["securitySchemes"]
    kinds = {(one["type"], one.get("scheme")) for one in schemes.values()}
    assert kinds == {("http", "bearer"), ("apiKey", None)}
    by_url = next(name for name, one in schemes.items() if one.get("name") == "access_token")
    contract, documented = Contract(document), set[tuple[int, str]]()
    for path, method, operation in contract.operations():
        reads_stream = method == "get" and path.endswith("/stream")
        assert ({by_url: []} in operation.get("security", [])) is reads_stream, (path, method)
        named = [one["name"] for one in operation.get("parameters", [])]
        assert len(named) == len(set(named)), (path, method)
        assert path not in {one for one, _ in STREAMS} or "Last-Event-ID" in named
        for status, reference in operation["responses"].items():
            answer = contract.resolved(reference)
            headers = answer.get("headers", {})
            assert ("Retry-After" in headers) is (status in {"429", "503"}), (path, method, status)
            lists = values_in(answer.get("content", {}), "enum")
            documented |= {(int(status), code) for codes in lists for code in codes}
    assert documented >= {(status, code) for status in CODES for code in CODES[status].split()}
