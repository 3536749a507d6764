"""The plain relay to compare with: FastAPI, httpx and sse-starlette as tutorials use them."""

import base64
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse

UPSTREAM = os.environ["BENCH_UPSTREAM"]

app = FastAPI()
http = httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None))  # noqa: S113


@app.post("/search/stream")
async def stream(request: Request) -> EventSourceResponse:
    """Relay the events."""
    return EventSourceResponse(_events(await _payload(request)), ping=600)


@app.post("/search")
async def search(request: Request) -> Response:
    """Collect the text, or pass an upload on: the least that one costs in FastAPI."""
    if request.headers["content-type"] != "application/json":
        async with request.form() as form:
            image: Any = form["image"]
            picture = base64.b64encode(await image.read())
        content = b'{"image_url": "data:image/jpeg;base64,%b"}' % picture
        return Response((await http.post(UPSTREAM, content=content)).content)
    events = _events(await _payload(request))
    texts = [json.loads(e["data"])["delta"] async for e in events if e["event"].endswith("delta")]
    return JSONResponse({"text": "".join(texts)})


async def _payload(request: Request) -> dict[str, Any]:
    asked = await request.json()
    text = {"type": "input_text", "text": asked["prompt"]}
    content = [text, {"type": "input_image", "image_url": asked["image_url"]}]
    message = {"role": "user", "content": content}
    return {"model": "qwen3.7-plus", "input": [message], "stream": True}


async def _events(payload: dict[str, Any]) -> AsyncIterator[dict[str, str]]:
    async with http.stream("POST", UPSTREAM, json=payload) as response:
        event = ""
        async for line in response.aiter_lines():
            field, _, value = line.partition(":")
            if field == "event":
                event = value
            elif field == "data":
                yield {"event": event, "data": value}
