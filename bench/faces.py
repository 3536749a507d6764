"""How a subject is asked: the requests' bytes. Every request bears a number and so is its own."""

import base64
import json
from functools import lru_cache
from typing import Any, Protocol

from bench.exchange import Parts
from bench.shape import MODEL

IMAGE_URL = "https://pictures.example/asked.jpg"
BOUNDARY = b"bench-5f0c1d7e"


class Face(Protocol):
    """What a subject understands. `last` is what only the last event of its streams has."""

    last: bytes

    def stream(self, number: int) -> Parts:
        """Ask for an answer as a stream."""
        ...

    def search(self, number: int) -> Parts:
        """Ask for an answer whole, or for the nearest to it."""
        ...

    def upload(self, number: int, jpeg: bytes) -> Parts:
        """Send a picture."""
        ...


class Responses:
    """The Responses API: pictures are data URLs in JSON.

    `whole`: it can answer whole; without it the answer to `search` is a stream, read to its end.
    """

    last = b'response.completed"'

    def __init__(self, *, key: str = "", model: str = MODEL, whole: bool = False) -> None:
        self._head = _head("/v1/responses", "application/json", key)
        self._model = model
        self._whole = whole

    def stream(self, number: int) -> Parts:
        """Ask for a stream."""
        return _request(self._head, [self._body(number, IMAGE_URL, stream=True)])

    def search(self, number: int) -> Parts:
        """Ask for the whole answer where that is understood."""
        return _request(self._head, [self._body(number, IMAGE_URL, stream=not self._whole)])

    def upload(self, number: int, jpeg: bytes) -> Parts:
        """Send a picture as a data URL."""
        before, after = self._body(number, "|", stream=not self._whole).split(b"|")
        return _request(self._head, [before, _data_url(jpeg), after])

    def _body(self, number: int, url: str, *, stream: bool) -> bytes:
        image = {"type": "input_image", "image_url": url}
        text = {"type": "input_text", "text": f"Search {number}"}
        body: dict[str, Any] = {"model": self._model, "stream": stream}
        return json.dumps(body | {"input": [{"role": "user", "content": [text, image]}]}).encode()


class Search:
    """This service's own endpoints; the plain relay has them too."""

    def __init__(self, *, last: bytes, key: str = "") -> None:
        self.last = last
        self._stream_head = _head("/search/stream", "application/json", key)
        self._search_head = _head("/search", "application/json", key)
        form = f"multipart/form-data; boundary={BOUNDARY.decode()}"
        self._upload_head = _head("/search", form, key)

    def stream(self, number: int) -> Parts:
        """Ask for a stream."""
        return _request(self._stream_head, [self._body(number)])

    def search(self, number: int) -> Parts:
        """Ask for the whole answer."""
        return _request(self._search_head, [self._body(number)])

    def upload(self, number: int, jpeg: bytes) -> Parts:
        """Send a picture as a form, and ask for the whole answer."""
        before = (
            b'--%b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nSearch %d\r\n'
            b'--%b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n" % (BOUNDARY, number, BOUNDARY)
        )
        return _request(self._upload_head, [before, jpeg, b"\r\n--%b--\r\n" % BOUNDARY])

    def _body(self, number: int) -> bytes:
        return json.dumps({"image_url": IMAGE_URL, "prompt": f"Search {number}"}).encode()


def get(path: str) -> Parts:
    """Ask with a GET."""
    return [f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()]


def control(line: str, body: bytes = b"") -> Parts:
    """Ask the upstream's control, such as `PUT /shape`."""
    return _request(f"{line} HTTP/1.1\r\nHost: bench\r\n".encode(), [body])


def _head(path: str, kind: str, key: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: bench",
        f"Content-Type: {kind}",
        "Accept: text/event-stream, application/json",
    ]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _request(head: bytes, body: Parts) -> Parts:
    size = sum(map(len, body))
    return [head + b"Content-Length: %d\r\n\r\n" % size + body[0], *body[1:]]


@lru_cache(maxsize=1)
def _data_url(jpeg: bytes) -> bytes:
    return b"data:image/jpeg;base64," + base64.b64encode(jpeg)
