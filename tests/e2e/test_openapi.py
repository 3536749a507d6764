"""The OpenAPI document: what it says of bodies, events and failures holds for real ones.

That each answer is as documented is checked on every answer of every test: `tests/contract.py`.
"""

import json
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


@pytest.fixture(scope="module")
def document() -> Json:
    settings = load(_env_file=None, allow_anonymous=True, dashscope_api_key=KEY)
    written: Json = json.loads(json.dumps(create_app(settings).openapi()))
    return written


def valid(document: Json, schema: Json, value: Any) -> bool:
    root = {"components": document["components"]} | schema
    return Draft202012Validator(root).is_valid(value)


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
