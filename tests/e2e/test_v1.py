"""`/v1/responses`: what comes in goes on, what comes back is handed on."""

import asyncio
import json
from typing import Any

from tests.clock import quiet, skip
from tests.e2e.asking import IMAGE_URL
from tests.e2e.v1 import asked, blocks, create, data_of, directly, directly_get, error_of
from tests.service import Running, running


async def test_a_json_answer_is_the_upstreams_byte_for_byte(service: Running) -> None:
    body = asked("[sim normal seed=7] 你好")
    response = await create(service, body)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert (response.headers["cache-control"], response.headers["x-cache"]) == ("no-store", "miss")
    assert response.content == (await directly(service, body)).content
    assert not response.text.isascii()


async def test_a_streams_data_is_the_upstreams_byte_for_byte(service: Running) -> None:
    body = asked("[sim normal seed=7] 你好", stream=True)
    response = await create(service, body)
    direct = await directly(service, body)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert not {"location", "x-search-id"} & set(response.headers)
    events = blocks(response.text)
    assert [data for _, data in events] == data_of(direct.text)
    assert [name for name, _ in events] == [json.loads(data)["type"] for _, data in events]
    assert response.text == "".join(f"event: {name}\ndata: {data}\n\n" for name, data in events)
    assert ":HTTP_STATUS" in direct.text
    assert events[-1][0] == "response.completed"


SAID = {"type": "output_text", "text": "A tower.", "annotations": []}
PARTS = [
    {"type": "text", "text": "And this?"},
    {"type": "image_url", "image_url": {"url": IMAGE_URL, "detail": "high"}},
]
CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": "What is it?"},
    {"type": "reasoning", "id": "msg_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {"type": "function_call_output", "call_id": "c", "output": "x"},
    {"type": "message", "role": "assistant", "content": [SAID]},
    {"role": "user", "content": PARTS},
]


async def test_a_conversation_as_in_chat_completions_is_passed_on(service: Running) -> None:
    response = await create(service, asked(input=CONVERSATION))
    assert response.status_code == 200, response.text
    assert len(service.record.calls[-1].images) == 1


async def test_where_answers_are_not_kept_the_upstream_keeps_none() -> None:
    async with running(upstream_store=False) as service:
        for store in (None, True, False):
            made = await create(service, asked(store=store))
            assert made.json()["store"] is False
        refused = await create(service, asked(previous_response_id=made.json()["id"]))
        assert (refused.status_code, error_of(refused)["param"]) == (422, "previous_response_id")
        search = (await service.http.post("/search", json={"image_url": IMAGE_URL})).json()
        kept = await directly_get(service, f"/responses/{search['upstream_response_id']}")
        assert kept.status_code == 404
        follow_up = {"previous_response_id": search["upstream_response_id"]}
        refused = await service.http.post("/search", json=follow_up)
        assert refused.json()["errors"][0]["field"] == "previous_response_id"
        assert service.record.total == 4


async def test_a_silent_stream_has_its_status_comment_lines_and_an_end(service: Running) -> None:
    asking = asyncio.create_task(create(service, asked("[sim stall_before_first]", stream=True)))
    await quiet()
    skip(2)
    await quiet()
    assert await service.metric("imagesearch_streams_open") == 1
    for seconds in (16, 43):
        skip(seconds)
        await quiet()
    response = await asking
    assert response.text.count(": keep-alive\n") >= 1
    assert response.status_code == 200
    [(name, data)] = blocks(response.text.replace(": keep-alive\n", ""))
    made = json.loads(data)
    assert (name, made["type"], made["sequence_number"]) == ("response.failed",) * 2 + (0,)
    failed = made["response"]
    assert failed["error"]["code"] == "upstream_timeout"
    assert (failed["status"], failed["object"]) == ("failed", "response")
    assert (failed["output"], failed["model"]) == ([], "qwen3.7-plus")
    assert failed["id"].startswith("resp_")


async def test_a_made_failure_goes_on_where_the_upstream_broke_off(service: Running) -> None:
    response = await create(service, asked("[sim cut_after_results]", stream=True))
    *before, (_, last) = [(name, json.loads(data)) for name, data in blocks(response.text)]
    assert last["type"] == "response.failed"
    assert last["sequence_number"] == before[-1][1]["sequence_number"] + 1
    failed, began = last["response"], before[0][1]["response"]
    assert (failed["id"], failed["created_at"]) == (began["id"], began["created_at"])
    done = [data["item"] for name, data in before if name == "response.output_item.done"]
    assert failed["output"] == done
    assert done[-1]["type"] == "image_search_call"


async def test_only_what_is_asked_for_is_repaired(service: Running) -> None:
    """Without the header nothing is touched; with it two events come, and places change."""
    body = asked("[sim drifting_output_index seed=7]", stream=True)
    direct = data_of((await directly(service, body)).text)
    plain = blocks((await create(service, body)).text)
    assert [data for _, data in plain] == direct
    mended = blocks((await create(service, body, **{"X-Stream-Repair": "openai"})).text)
    added = [data for _, data in mended if '"reasoning_text"' in data]
    assert [json.loads(data)["type"] for data in added] == ["response.content_part.added"] * 2
    kept = [json.loads(data) for _, data in mended if data not in added]
    for before, after in zip(map(json.loads, direct), kept, strict=True):
        places = {"output_index": after.get("output_index"), "content_index": 0}
        assert before | places == after | places
    refused = await create(service, body, **{"X-Stream-Repair": "perfect"})
    assert refused.status_code == 422


async def test_models_are_those_that_may_be_named() -> None:
    async with running(allowed_models="qwen3.7-plus,qwen3.5-flash") as service:
        listed = (await service.http.get("/v1/models")).json()
        assert (listed["object"], {one["object"] for one in listed["data"]}) == ("list", {"model"})
        assert [one["id"] for one in listed["data"]] == ["qwen3.7-plus", "qwen3.5-flash"]
