"""How subjects are asked: the bytes of requests. Each bears a number, so that all are different."""

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bench.answer import MODEL
from bench.client import Request

IMAGE_URL = "https://pictures.example/asked.jpg"
BOUNDARY = b"bench-5f0c1d7e"
PART = b"--%b\r\nContent-Disposition: form-data; name=%b\r\n\r\n%b\r\n"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class ResponsesApi:
    """The Responses API: pictures are data URLs in JSON.

    `whole`: the subject can answer whole; else `search` gets a stream and reads it to its end.
    `last` are bytes that only the last event of a stream has.
    """

    key: str = ""
    whole: bool = False
    last: bytes = b'response.completed"'

    def stream(self, number: int) -> Request:
        """Ask for an answer as a stream."""
        return self._request(self._body(number, IMAGE_URL, stream=True))

    def search(self, number: int) -> Request:
        """Ask for a whole answer, or for the nearest that the subject has."""
        return self._request(self._body(number, IMAGE_URL, stream=not self.whole))

    def upload(self, number: int, picture: bytes) -> Request:
        """The same with a JPEG file."""
        before, after = self._body(number, "|", stream=not self.whole).split(b"|")
        return self._request(before, _data_url(picture), after)

    def _request(self, *body: bytes) -> Request:
        return request("POST /v1/responses", *body, media_type=JSON, key=self.key)

    def _body(self, number: int, url: str, *, stream: bool) -> bytes:
        image = {"type": "input_image", "image_url": url}
        text = {"type": "input_text", "text": f"Search {number}"}
        body: dict[str, Any] = {"model": MODEL, "stream": stream}
        return json.dumps(body | {"input": [{"role": "user", "content": [text, image]}]}).encode()


@dataclass(frozen=True, slots=True)
class SearchApi:
    """This service's own endpoints; the relay has them too."""

    last: bytes
    key: str = ""
    upload_path: str = "/search"

    def stream(self, number: int) -> Request:
        return request("POST /search/stream", self._body(number), media_type=JSON, key=self.key)

    def search(self, number: int) -> Request:
        return request("POST /search", self._body(number), media_type=JSON, key=self.key)

    def upload(self, number: int, picture: bytes) -> Request:
        prompt = PART % (BOUNDARY, b'"prompt"', b"Search %d" % number)
        image = PART % (BOUNDARY, b'"image"; filename="a.jpg"', b"")
        line, form = (
            f"POST {self.upload_path}",
            f"multipart/form-data; boundary={BOUNDARY.decode()}",
        )
        pieces = (prompt + image[:-2], picture, b"\r\n--%b--\r\n" % BOUNDARY)
        return request(line, *pieces, media_type=form, key=self.key)

    def _body(self, number: int) -> bytes:
        return json.dumps({"image_url": IMAGE_URL, "prompt": f"Search {number}"}).encode()


Api = ResponsesApi | SearchApi


def request(line: str, *body: bytes, media_type: str = JSON, key: str = "") -> Request:
    """A request of a line such as `POST /search`, and the pieces of a body."""
    head = (
        f"{line} HTTP/1.1\r\nHost: bench\r\nContent-Type: {media_type}\r\n"
        "Accept: text/event-stream, application/json\r\n"
        f"Content-Length: {sum(map(len, body))}\r\n"
    )
    head += f"Authorization: Bearer {key}\r\n\r\n" if key else "\r\n"
    return [head.encode() + b"".join(body[:1]), *body[1:]]


@lru_cache(maxsize=1)
def _data_url(picture: bytes) -> bytes:
    return b"data:image/jpeg;base64," + base64.b64encode(picture)
