"""The plain relay to compare with: FastAPI, httpx and sse-starlette, as one would write it."""

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request
from sse_starlette import EventSourceResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client for all."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=None, limits=limits) as app.state.http:  # noqa: S113
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/search/stream")
async def stream(request: Request) -> EventSourceResponse:
    """Relay the events."""
    return EventSourceResponse(_events(request, await _payload(request)))


@app.post("/search")
async def search(request: Request) -> dict[str, str]:
    """Collect the text."""
    events = _events(request, await _payload(request))
    texts = [json.loads(e["data"])["delta"] async for e in events if e["event"].endswith("delta")]
    return {"text": "".join(texts)}


async def _payload(request: Request) -> dict[str, Any]:
    if request.headers["content-type"] == "application/json":
        asked = await request.json()
        url, prompt = asked["image_url"], asked["prompt"]
    else:
        async with request.form() as form:
            image: Any = form["image"]
            url = "data:image/jpeg;base64," + base64.b64encode(await image.read()).decode()
            prompt = form["prompt"]
    text = {"type": "input_text", "text": prompt}
    content = [text, {"type": "input_image", "image_url": url}]
    return {
        "model": "qwen3.7-plus",
        "input": [{"role": "user", "content": content}],
        "tools": [{"type": "image_search"}],
        "stream": True,
    }


async def _events(request: Request, payload: dict[str, Any]) -> AsyncIterator[dict[str, str]]:
    http: httpx.AsyncClient = request.app.state.http
    url = os.environ["BENCH_UPSTREAM"] + "/v1/responses"
    async with http.stream("POST", url, json=payload) as response:
        event = ""
        async for line in response.aiter_lines():
            field, _, value = line.partition(":")
            if field == "event":
                event = value
            elif field == "data":
                yield {"event": event, "data": value}
