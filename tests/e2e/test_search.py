"""A search from end to end, over real sockets."""

import io
import tempfile
from typing import Any

import pytest
from PIL import Image

from simulator.gallery import jpeg
from simulator.pictures import PICTURES
from tests.e2e.asking import IMAGE_URL, PICTURE, TERMINAL
from tests.e2e.images.files import encoded
from tests.e2e.v1 import asked, data_of, directly
from tests.service import GALLERY_URL, Running


def altered(name: str) -> bytes:
    with Image.open(io.BytesIO(jpeg(name))) as picture:
        smaller = picture.resize((picture.width // 2, picture.height // 2))
    return encoded(smaller, "JPEG", quality=40)


async def test_an_uploaded_picture_comes_back_first(service: Running) -> None:
    upload: dict[str, Any] = {"files": {"image": ("me.jpg", altered(PICTURE.name), "image/jpeg")}}
    plain = (await service.http.post("/search", **upload)).json()
    response, events = await service.stream(**upload, headers={"Cache-Control": "no-cache"})
    assert plain["created_at"] <= plain["completed_at"]
    assert (plain["status"], plain["outcome"]) == ("completed", "matched")
    assert (plain["warnings"], plain["error"]) == ([], None)
    assert plain["results"][0]["title"] == PICTURE.title
    assert PICTURE.title in plain["text"]
    assert plain["usage"]["image_search_calls"] == 1
    assert plain["usage"]["total_tokens"] > 0
    [call] = plain["searches"]
    assert call == {"image": 0, "bbox": [0, 0, 1000, 1000], "count": len(plain["results"])}
    streamed = events[-1].result()
    assert events[-1].event == "search.completed"
    assert response.headers["x-search-id"] == streamed["id"] != plain["id"]
    assert streamed["results"] == plain["results"]
    picture = await service.http.get(plain["results"][0]["url"])
    assert picture.content == jpeg(PICTURE.name)


async def test_the_stream_brings_everything_in_order_byte_for_byte(service: Running) -> None:
    prompt = "[sim normal seed=7] 你好"
    response, events = await service.stream(json={"image_url": IMAGE_URL, "prompt": prompt})
    names = [event.event for event in events]
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store, no-transform"
    assert (response.headers["x-accel-buffering"], response.headers["x-cache"]) == ("no", "miss")
    search_id = response.headers["x-search-id"]
    assert response.headers["location"] == f"/search/{search_id}/stream"
    assert [one.id for one in events] == [f"{search_id}:{n + 1}" for n in range(len(events))]
    assert names[0] == "search.created"
    assert events[0].json()["search_id"] == search_id
    found = names.index("search.results")
    assert events[found - 1].json()["item"]["type"] == "image_search_call"
    assert events[found].json()["results"][0]["title"] == PICTURE.title
    assert names[-2:] == ["response.completed", "search.completed"]
    assert sum(name in TERMINAL for name in names) == 1
    relayed = [event.data for event in events if event.event.startswith("response.")]
    assert relayed == data_of((await directly(service, asked(prompt, stream=True))).text)
    assert not "".join(relayed).isascii()


async def test_several_images_go_in_their_order_urls_first(service: Running) -> None:
    first, second, third = (PICTURES[n] for n in (3, 11, 20))
    fields = {"image_url": [GALLERY_URL + first.name], "prompt": "[sim two_calls]"}
    files = [("image", ("b.jpg", jpeg(each.name))) for each in (second, third)]
    body = (await service.http.post("/search", data=fields, files=files)).json()
    assert [call["image"] for call in body["searches"]] == [0, 1]
    best = [match["title"] for match in body["results"] if match["index"] == 1]
    assert best == [first.title, second.title]
    assert body["usage"]["image_search_calls"] == 2
    assert len(service.record.calls[-1].images) == 3


async def test_the_other_fields_are_passed_on(service: Running) -> None:
    async def search(**fields: Any) -> dict[str, Any]:
        body: dict[str, Any] = (await service.http.post("/search", json=fields)).json()
        return body

    fields = {"model": "qwen3.5-flash", "thinking": False, "instructions": "Be short."}
    first = await search(image_url=IMAGE_URL, **fields)
    assert first["model"] == "qwen3.5-flash"
    _, events = await service.stream(json={"image_url": IMAGE_URL, "thinking": False})
    assert not [event for event in events if "reasoning" in event.event]
    previous = first["upstream_response_id"]
    follow_up = await search(prompt="And now?", previous_response_id=previous)
    assert follow_up["status"] == "completed"
    assert (await search(image_url=IMAGE_URL, max_output_tokens=16))["status"] == "incomplete"


async def test_an_upload_needs_no_temp_directory(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container with a read-only root."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    big = encoded(Image.effect_noise((1600, 1600), 80), "PNG")
    response = await service.http.post("/search", files={"image": ("x.png", big)})
    assert response.json()["status"] == "completed"
