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
from starlette.applications import Starlette

from simulator import Knobs, create_app, gallery
from simulator.state import Gate
from simulator.record import Call, Record
from simulator.serving import serving

QUICK = Knobs(pace_s=0, silence_s=0)
KEY = {"authorization": f"Bearer {QUICK.key}"}


@dataclass(frozen=True)
class Desk:
    """A running simulator, a client of it, and what it holds."""

    url: str
    client: httpx.AsyncClient
    app: Starlette

    @property
    def record(self) -> Record:
        record = self.app.state.record
        assert isinstance(record, Record)
        return record

    @property
    def gate(self) -> Gate:
        gate = self.app.state.gate
        assert isinstance(gate, Gate)
        return gate

    @property
    def last(self) -> Call:
        return self.record.calls[-1]

    async def ask(self, body: dict[str, Any], **headers: str) -> httpx.Response:
        return await self.client.post("/responses", json=body, headers=headers)


@asynccontextmanager
async def desk(knobs: Knobs = QUICK) -> AsyncIterator[Desk]:
    app = create_app(knobs)
    async with (
        serving(app) as url,
        httpx.AsyncClient(
            base_url=f"{url}/compatible-mode/v1", headers=KEY, timeout=30, trust_env=False
        ) as client,
    ):
        yield Desk(url, client, app)


def question(prompt: str = "What is like it?", *names: str, **more: Any) -> dict[str, Any]:
    """A request with the tool, and with gallery pictures by name."""
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": prompt}]
    parts += [{"type": "input_image", "image_url": own(name)} for name in names or ("red-sails",)]
    body = {
        "model": "qwen3.7-plus",
        "input": [{"role": "user", "content": parts}],
        "tools": [{"type": "image_search"}],
    }
    return body | more


def own(name: str) -> str:
    return f"https://gallery.example/{name}"


def data_url(name: str, *, scale: float = 1.0, quality: int = 40) -> str:
    """A gallery picture, resized and compressed again."""
    with Image.open(io.BytesIO(gallery.jpeg(name))) as picture:
        size = (round(picture.width * scale), round(picture.height * scale))
        target = io.BytesIO()
        picture.resize(size).save(target, "JPEG", quality=quality)
    return as_data_url(target.getvalue(), "jpeg")


def blank_url(width: int, height: int) -> str:
    """A white PNG of this size."""
    target = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(target, "PNG")
    return as_data_url(target.getvalue(), "png")


def as_data_url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def events(body: bytes) -> list[dict[str, Any]]:
    """The data of each event in the vendor's framing."""
    blocks = body.decode().split("\n\n")
    assert blocks.pop() == ""
    return [json.loads(block.split("\n")[3].removeprefix("data:")) for block in blocks]


def found(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of the first search in a response."""
    call = next(item for item in response["output"] if item["type"] == "image_search_call")
    results = json.loads(call["output"])
    assert isinstance(results, list)
    return results
