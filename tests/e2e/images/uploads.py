"""The service with the stand-in behind it, and the images that left the service for it."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx

from tests.service import Running, running


@dataclass
class Uploads:
    """Posts images, each as a search of its own."""

    service: Running
    urls: list[str]
    _numbers: Iterator[int]

    async def post(self, *bodies: bytes, name: str = "photo", kind: str = "") -> httpx.Response:
        """Upload these files, under any name and type."""
        files = [("image", (name, body, kind or "application/octet-stream")) for body in bodies]
        return await self.service.http.post("/search", data=self._prompt(), files=files)

    async def post_url(self, url: Any, *, escape: tuple[str, str] = ("/", "/")) -> httpx.Response:
        """Name an image in a JSON body, with a character in it written otherwise."""
        self.urls.clear()
        body = json.dumps({"image_url": url} | self._prompt()).replace(*escape)
        headers = {"Content-Type": "application/json"}
        return await self.service.http.post("/search", content=body, headers=headers)

    async def arrived(self, body: bytes, **options: str) -> bytes:
        """Upload a file that is taken in; the file that left for the upstream."""
        self.urls.clear()
        response = await self.post(body, **options)
        assert response.status_code == 200, response.text
        (url,) = self.urls
        return file_in(url)

    async def refused(self, body: bytes, code: str, saying: str = "") -> None:
        """Upload a file that is refused with this code, before anything goes upstream."""
        self.urls.clear()
        check_refusal(await self.post(body), code, saying)
        assert not self.urls

    def _prompt(self) -> dict[str, str]:
        return {"prompt": f"[sim normal] {next(self._numbers)}"}


def check_refusal(response: httpx.Response, code: str, saying: str = "") -> None:
    """The OpenAPI document, which each response is held against, knows the status of a code."""
    problem = response.json()
    assert problem.get("code") == code, problem
    assert saying in problem["detail"]
    assert problem["detail"].endswith(".")


def file_in(url: str) -> bytes:
    """The file inside a `data:` URL as the service writes it."""
    head, _, payload = url.partition(",")
    assert head in ("data:image/jpeg;base64", "data:image/png;base64")
    file = base64.b64decode(payload, validate=True)
    assert file.startswith(b"\xff\xd8\xff" if "jpeg" in head else b"\x89PNG\r\n\x1a\n")
    return file


@asynccontextmanager
async def uploads(**settings: Any) -> AsyncIterator[Uploads]:
    """Run the service with these settings."""
    urls: list[str] = []

    def note(request: Any) -> None:
        parts = request["input"][0]["content"]
        urls.extend(part["image_url"] for part in parts if part["type"] == "input_image")

    async with running(**{"image_workers": 2} | settings) as service:
        service.record.on_body = note
        yield Uploads(service, urls, count())
