"""The OpenAPI document: its schema of events holds for the real ones.

That each answer is as documented is checked on every answer of every test: `tests/contract.py`.
"""

from jsonschema import Draft202012Validator

from tests.contract import Contract
from tests.e2e.asking import IMAGE_URL
from tests.service import running

STREAMS = {"/search/stream": ("post", "get"), "/search/{search_id}/stream": ("get",)}


async def test_the_schema_of_a_stream_describes_each_event_that_comes() -> None:
    async with running(stream_progress_s=1) as service:
        contract = Contract((await service.http.get("/openapi.json")).json())
        played = [
            (await service.stream(json={"image_url": IMAGE_URL, "prompt": f"[sim {scenario}]"}))[1]
            for scenario in ("normal", "no_results", "incomplete", "failed_mid_stream")
        ]
    for path, methods in STREAMS.items():
        for method in methods:
            content = contract.document["paths"][path][method]["responses"]["200"]["content"]
            union = contract.resolved(content["text/event-stream"]["schema"])
            schema = Draft202012Validator({"components": contract.document["components"]} | union)
            for event in [event for events in played for event in events]:
                assert schema.is_valid(event.json()), event.event
            assert not schema.is_valid({"type": 5})
            assert not schema.is_valid([])
