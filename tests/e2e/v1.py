"""Asking `/v1` on the wire, without an SDK between."""

import json
from typing import Any

import httpx

from tests.e2e.asking import IMAGE_URL
from tests.service import KEY, Running

TOOLS = [{"type": "image_search"}]


def asked(prompt: str = "What is it?", *, image: Any = IMAGE_URL, **more: Any) -> dict[str, Any]:
    """A request body; `more` adds members, or takes them out with `None`."""
    content: list[dict[str, Any]] = [{"type": "input_text", "text": prompt}]
    if image is not None:
        content.append({"type": "input_image", "image_url": image})
    body = {
        "model": "qwen3.7-plus",
        "input": [{"role": "user", "content": content}],
        "tools": TOOLS,
        **more,
    }
    return {name: value for name, value in body.items() if value is not None}


async def create(service: Running, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | headers
    return await service.http.post("/v1/responses", content=content, headers=sent)


async def directly(service: Running, body: dict[str, Any]) -> httpx.Response:
    """Ask the upstream itself, as the service does."""
    headers = {"Authorization": f"Bearer {KEY}"}
    return await service.http.post(f"{service.upstream_url}/responses", json=body, headers=headers)


async def directly_get(service: Running, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEY}"}
    return await service.http.get(f"{service.upstream_url}{path}", headers=headers)


def data_of(stream: str) -> list[str]:
    return [line.removeprefix("data:") for line in stream.split("\n") if line.startswith("data:")]


def blocks(text: str) -> list[tuple[str, str]]:
    """The events of a stream: name and data; nothing else may be in it."""
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n", 1)
        found.append((name.removeprefix("event: "), data.removeprefix("data: ")))
    return found


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error in OpenAI's shape, and nothing beside it."""
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert response.headers["x-should-retry"] in {"true", "false"}
    body = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error
