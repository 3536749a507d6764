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
PART = b"--%b\r\nContent-Disposition: form-data; name=%b\r\n\r\n"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Api:
    """This service's own API at `/search` (the relay has it too), or the Responses API.

    `last` are bytes that only the last event of a stream has. `whole`: the Responses API answers
    whole if no stream is asked for; else a stream is asked for always, and read to its end.
    """

    path: str
    key: str = ""
    whole: bool = False
    last: bytes = b'response.completed"'

    def search(self, number: int, *, stream: bool = False) -> Request:
        """Ask for a search."""
        if self.path != "/search":
            return self._request(self._responses_body(number, IMAGE_URL, stream=stream))
        body = json.dumps({"image_url": IMAGE_URL, "prompt": f"Search {number}"}).encode()
        return self._request(body, path=self.path + "/stream" * stream)

    def upload(self, number: int, picture: bytes) -> Request:
        """Ask for a search with a JPEG file, not streamed: a form, or a data URL in JSON."""
        if self.path != "/search":
            before, after = self._responses_body(number, "|", stream=False).split(b"|")
            return self._request(before, _data_url(picture), after)
        form = f"multipart/form-data; boundary={BOUNDARY.decode()}"
        before = PART % (BOUNDARY, b'"prompt"') + b"Search %d\r\n" % number
        before += PART % (BOUNDARY, b'"image"; filename="a.jpg"')
        return self._request(before, picture, b"\r\n--%b--\r\n" % BOUNDARY, media_type=form)

    def _request(self, *body: bytes, path: str = "", media_type: str = JSON) -> Request:
        return request(f"POST {path or self.path}", *body, media_type=media_type, key=self.key)

    def _responses_body(self, number: int, url: str, *, stream: bool) -> bytes:
        image = {"type": "input_image", "image_url": url}
        text = {"type": "input_text", "text": f"Search {number}"}
        body: dict[str, Any] = {"model": MODEL, "stream": stream or not self.whole}
        return json.dumps(body | {"input": [{"role": "user", "content": [text, image]}]}).encode()


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
