"""`/ui/chat` on the wire: the chunks that `useChat` reads, resume, follow-up questions."""

import base64
import json
from typing import Any

import pytest

from tests.clock import quiet
from tests.dashscope import CREATED, FOUND, block, call, completed, delta
from tests.e2e.asking import IMAGE_URL
from tests.e2e.images.files import jpeg
from tests.peer import says, stream
from tests.service import Running, fronting, running
from tests.wire import dial, request

CHAT = "chat-0123456789abcdef"
CHUNKS = {
    *("start", "start-step", "data-progress", "tool-input-available", "tool-output-available"),
    *("data-results", "source-url", "reasoning-start", "reasoning-delta", "reasoning-end"),
    *("text-start", "text-delta", "text-end", "finish-step", "finish"),
}


def message(text: str, *urls: str, role: str = "user", **more: Any) -> dict[str, Any]:
    parts = [{"type": "file", "mediaType": "image/jpeg", "url": url} for url in urls]
    return {"id": "m", "role": role, "parts": [*parts, {"type": "text", "text": text}], **more}


def chat(*messages: dict[str, Any], chat_id: str = CHAT, **more: Any) -> dict[str, Any]:
    return {"id": chat_id, "messages": messages, "trigger": "submit-message", **more}


async def chunks(service: Running, method: str, path: str, **asked: Any) -> list[dict[str, Any]]:
    response = await service.http.request(method, path, **asked)
    assert response.status_code == 200, response.text
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    *frames, done, end = response.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


async def test_a_message_with_a_picture_is_a_search_and_a_later_one_follows_it_up() -> None:
    picture = "data:image/jpeg;base64," + base64.b64encode(jpeg()).decode()
    async with running() as service:
        asked = message("What is this?", picture)
        answer = await chunks(service, "POST", "/ui/chat", json=chat(asked))
        assert {chunk["type"] for chunk in answer} == CHUNKS
        opened = [chunk["id"] for chunk in answer if chunk["type"].endswith("-start")]
        assert [chunk["id"] for chunk in answer if chunk["type"].endswith("-end")] == opened
        text = "".join(chunk["delta"] for chunk in answer if chunk["type"] == "text-delta")
        search = await service.http.get(f"/search/{answer[0]['messageId']}")
        assert text == search.json()["text"]
        [output] = [one for one in answer if one["type"] == "tool-output-available"]
        assert output["output"]["results"] == search.json()["results"]
        metadata = answer[-1]["messageMetadata"]
        assert metadata["cost"] == search.json()["cost"]
        replied = message(text, role="assistant", metadata=metadata)
        stopped = message("", role="assistant", metadata={"model": "qwen3.7-plus"})
        turns = [asked, replied, message("More?"), stopped, message("And where was it taken?")]
        await chunks(service, "POST", "/ui/chat", json=chat(*turns))
        first, second = service.record.calls
        assert second.prompt == "And where was it taken?"
        assert second.images == first.images  # The upstream's memory of the answer has them.


@pytest.mark.parametrize(
    ("prompt", "last"), [("[sim cut_after_results]", "error"), ("[sim incomplete]", "finish")]
)
async def test_how_it_ended_is_told(prompt: str, last: str, service: Running) -> None:
    answer = await chunks(service, "POST", "/ui/chat", json=chat(message(prompt, IMAGE_URL)))
    assert answer[-1]["type"] == last
    if last == "error":
        assert json.loads(answer[-1]["errorText"])["code"] == "upstream_interrupted"
    else:
        assert answer[-1]["finishReason"] == "length"


async def test_a_part_that_the_upstream_left_open_is_ended() -> None:
    part = says(stream(*map(block, (CREATED, delta("piece"), completed(call(FOUND))))))
    async with fronting(part) as (service, _):
        answer = await chunks(service, "POST", "/ui/chat", json=chat(message("?", IMAGE_URL)))
    types = [chunk["type"] for chunk in answer]
    assert types.index("text-delta") < types.index("text-end") < types.index("finish-step")


@pytest.mark.parametrize("begun", [True, False])
async def test_a_reloaded_chat_is_replayed_until_a_reader_has_had_its_end(*, begun: bool) -> None:
    async with running() as service:
        async with dial(service.url) as wire:
            body = chat(message("[sim gated tag=go]", IMAGE_URL))
            wire.send(request("POST", "/ui/chat", body=body))
            await service.record.until(lambda record: record.open == 1)
            if begun:
                await wire.head()
            wire.reset()
        async with dial(service.url) as hasty:  # As a page does that is reloaded twice.
            hasty.send(request("GET", f"/ui/chat/{CHAT}/stream"))
            hasty.reset()
        await quiet()
        assert await service.metric("imagesearch_streams_open") == 0
        await service.open_gate("go")
        await service.record.idle()
        answer = await chunks(service, "GET", f"/ui/chat/{CHAT}/stream")
        assert (answer[0]["type"], answer[-1]["type"]) == ("start", "finish")
        for known in (CHAT, "never-heard-of"):
            again = await service.http.get(f"/ui/chat/{known}/stream")
            assert again.status_code == 204
        assert service.record.total == 1


async def test_a_search_can_be_asked_again_and_a_later_message_is_one_of_its_own() -> None:
    async with running() as service:
        asked = message("What is this?", IMAGE_URL)
        first = await chunks(service, "POST", "/ui/chat", json=chat(asked))
        same = await chunks(service, "POST", "/ui/chat", json=chat(asked))
        again = chat(asked, trigger="regenerate-message", messageId="m2")
        later = chat(asked, message("A picture.", role="assistant"), asked)
        anew, last = [await chunks(service, "POST", "/ui/chat", json=one) for one in (again, later)]
        ids = [answer[0]["messageId"] for answer in (first, same, anew, last)]
        assert (ids[0] == ids[1], len(set(ids)), service.record.total) == (True, 3, 3)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (chat(), "image_missing"),
        (chat(message("No picture, nothing before it.")), "image_missing"),
        (chat(message("?", "file:///etc/passwd")), "image_url_invalid"),
        ({"messages": []}, "invalid_request"),
        (chat(message("?", IMAGE_URL), surprise=1), "invalid_request"),
        (chat(message("?", IMAGE_URL), model="gpt-9"), "model_not_allowed"),
        ({"id": CHAT, "messages": [1] * 49_900}, "invalid_request"),
        (chat(message("?"), image_url=[1] * 49_900), "invalid_request"),
        (chat() | {f"f{number}": 1 for number in range(49_900)}, "invalid_request"),
    ],
)
async def test_what_is_no_search_is_refused(body: Any, code: str, service: Running) -> None:
    refused = await service.http.post("/ui/chat", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)


async def test_a_short_chat_id_of_an_anonymous_caller_cannot_be_resumed() -> None:
    async with running() as service:
        body = chat(message("[sim stall after=14]", IMAGE_URL), chat_id="short")
        async with service.http.stream("POST", "/ui/chat", json=body) as stream:
            assert stream.status_code == 200
            assert (await service.http.get("/ui/chat/short/stream")).status_code == 204
