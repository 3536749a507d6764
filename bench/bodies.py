"""Bodies at the limit of each bound: none of them may hold the event loop for long."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from bench.client import JSON, Request, request
from bench.pictures import jpeg
from bench.subjects import BOUNDARY, CLIENT_KEY, PART, RESPONSES
from bench.upstream import MODEL

IMAGE_BYTES, BODY_BYTES, TEXT_BYTES = 20_971_520, 62_914_560, 1_048_576
MEMBERS, DEPTH, PARTS, HEAD_BYTES = 9_900, 60, 500, 60_000
FORM = f"multipart/form-data; boundary={BOUNDARY.decode()}"
FILE = b'"image"; filename="a.jpg"'
END = b"\r\n--%b--\r\n" % BOUNDARY
URL = "https://pictures.example/a.jpg"


def bodies() -> Iterator[tuple[str, Request]]:
    """A name and a request for each bound; most of them are refused, some only at their end."""
    picture = jpeg(7_000_000)
    segments = b"\xff\xd8" + b"\xff\xfe\x00\x02" * (IMAGE_BYTES // 4 - 1)
    half = b"data:;base64," + base64.b64encode(picture * 3)[: BODY_BYTES // 2 - 9_000]
    yield "json_two_images", _json(b'{"image_url":["%b","%b"]}' % (half, half))
    slashes = half.replace(b"/", rb"\/", TEXT_BYTES - 9_000)
    yield "json_escapes", _json(b'{"image_url":["%b","%b"]}' % (slashes, half))
    yield "json_percents", _json(b'{"image_url":"data:,%b"}' % (b"%41" * (BODY_BYTES // 3 - 99)))
    yield "json_blanks", _json(b'{"image_url":"data:;base64,%b"}' % (b"A \\n" * 260_000))
    yield "json_text", _json({"image_url": URL, "prompt": "x" * (TEXT_BYTES - 999)})
    yield "json_unknown", _json({f"f{number}": 1 for number in range(MEMBERS)})
    yield "json_urls", _json({"image_url": [URL] * MEMBERS})
    items = [{"role": "user", "content": "x"}] * (MEMBERS // 3)
    yield "v1_items", _v1(items)
    yield "v1_text", _v1([{"role": "user", "content": "x" * (TEXT_BYTES - 999)}])
    yield "v1_members", _v1("x", metadata={f"f{number}": "x" for number in range(MEMBERS)})
    yield (
        "v1_depth",
        _v1([json.loads('{"role":"user","content":' + "[" * DEPTH + "]" * DEPTH + "}")]),
    )
    image = {"type": "input_image", "image_url": half.decode()}
    yield "v1_image", _v1([{"role": "user", "content": [image]}])
    yield "form_image", _form((FILE, picture + bytes(IMAGE_BYTES - len(picture) - 99)))
    yield "form_segments", _form((FILE, segments))
    yield "form_text", _form((b'"prompt"', b"x" * IMAGE_BYTES), (b'"model"', b"x" * IMAGE_BYTES))
    yield "form_dashes", _form((FILE, b"\r\n--" * (IMAGE_BYTES // 4 - 99)))
    yield "form_fields", _form(*[(b'"f%d"' % number, b"x") for number in range(PARTS)])
    yield "form_files", _form(*[(FILE, picture[:1_000])] * PARTS)
    yield "query", request(f"GET /search/stream?prompt={'%20' * (HEAD_BYTES // 3)}", key=CLIENT_KEY)


def _json(body: bytes | dict[str, Any], path: str = "/search") -> Request:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return request(f"POST {path}", b"", text, media_type=JSON, key=CLIENT_KEY)


def _v1(asked: Any, **members: Any) -> Request:
    return _json({"model": MODEL, "input": asked} | members, RESPONSES)


def _form(*parts: tuple[bytes, bytes]) -> Request:
    texts = [PART % (BOUNDARY, name) + data for name, data in parts]
    return request("POST /search", b"", b"\r\n".join(texts) + END, media_type=FORM, key=CLIENT_KEY)
