"""The OpenAPI document's events and names; `tests/contract.py` holds it against every answer."""

from jsonschema import Draft202012Validator

from tests.contract import Contract
from tests.e2e.asking import IMAGE_URL
from tests.service import running

STREAMS = {"/search/stream": ("post", "get"), "/search/{search_id}/stream": ("get",)}


async def test_names_are_documented_and_the_schema_of_a_stream_describes_each_event() -> None:
    async with running(stream_progress_s=1) as service:
        contract = Contract((await service.http.get("/openapi.json")).json())
        played = [
            (await service.stream(json={"image_url": IMAGE_URL, "prompt": f"[sim {scenario}]"}))[1]
            for scenario in ("normal", "no_results", "incomplete", "failed_mid_stream")
        ]
    assert contract.document["components"]["securitySchemes"].keys() == {"bearer", "accessToken"}
    operations = [one for item in contract.document["paths"].values() for one in item.values()]
    named = {one["name"] for operation in operations for one in operation.get("parameters", ())}
    assert named >= {"Idempotency-Key", "Last-Event-ID", "Prefer", "X-Stream-Repair", "search_id"}
    for path, methods in STREAMS.items():
        for method in methods:
            content = contract.document["paths"][path][method]["responses"]["200"]["content"]
            union = contract.resolved(content["text/event-stream"]["schema"])
            schema = Draft202012Validator({"components": contract.document["components"]} | union)
            for event in [event for events in played for event in events]:
                assert schema.is_valid(event.json()), event.event
            assert not schema.is_valid({"type": 5})
            assert not schema.is_valid([])
