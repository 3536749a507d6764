"""Asking the simulator as a client would, and reading its events strictly."""

import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image

from simulator import Knobs, create_app
from simulator.gallery import jpeg
from simulator.record import Call, Record
from simulator.serving import serving

QUICK = Knobs(pace_s=0, silence_s=0)
KEY = {"authorization": f"Bearer {QUICK.key}"}
GALLERY_URL = "https://gallery.example/"


@dataclass(frozen=True)
class Upstream:
    """A running simulator, a client of it, and its record of calls."""

    url: str
    client: httpx.AsyncClient
    record: Record

    @property
    def last(self) -> Call:
        return self.record.calls[-1]

    async def ask(self, body: dict[str, Any], **headers: str) -> httpx.Response:
        return await self.client.post("/responses", json=body, headers=headers)

    async def stream(self, prompt: str) -> httpx.Response:
        return await self.ask(question(prompt, stream=True))


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    app = create_app(QUICK)
    how: dict[str, Any] = {"headers": KEY, "timeout": 30, "trust_env": False}
    async with serving(app) as url, httpx.AsyncClient(**how) as client:
        client.base_url = httpx.URL(f"{url}/compatible-mode/v1")
        yield Upstream(url, client, app.state.record)


def question(prompt: str = "What is like it?", *urls: str, **more: Any) -> dict[str, Any]:
    """A request with the tool and with images, by default one of the gallery's."""
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": prompt}]
    given = urls or (f"{GALLERY_URL}red-sails",)
    parts += [{"type": "input_image", "image_url": url} for url in given]
    asked = [{"role": "user", "content": parts}]
    return {"model": "qwen3.7-plus", "input": asked, "tools": [{"type": "image_search"}], **more}


def data_url(name: str, *, scale: float = 1.0) -> str:
    """A gallery picture, resized and compressed again."""
    with Image.open(io.BytesIO(jpeg(name))) as picture:
        size = (round(picture.width * scale), round(picture.height * scale))
        return as_data_url(picture.resize(size), "JPEG")


def as_data_url(image: Image.Image, kind: str) -> str:
    target = io.BytesIO()
    image.save(target, kind, quality=40)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(target.getvalue()).decode()}"


def found(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of the first search in a response."""
    call = next(item for item in response["output"] if item["type"] == "image_search_call")
    results: list[dict[str, Any]] = json.loads(call["output"])
    return results
