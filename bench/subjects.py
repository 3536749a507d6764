"""What is compared: how each is started and asked; numbers make all requests different."""

import base64
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from bench.client import JSON, Request, request
from bench.pictures import jpeg
from bench.processes import ROOT, Server, ServerFailed
from bench.upstream import MODEL

RESPONSES = "/v1/responses"
CLIENT_KEY = "bench-client-key-2f6c1e80a94d47b5"
LITELLM_KEY = "sk-bench-proxy"
LITELLM = ROOT / ".venv-litellm" / "bin" / "litellm"
IMAGE_URL, URL = "https://pictures.example/asked.jpg", "https://pictures.example/a.jpg"
BOUNDARY = b"bench-5f0c1d7e"
PART = b"--%b\r\nContent-Disposition: form-data; name=%b\r\n\r\n"
IMAGE_BYTES, BODY_BYTES, TEXT_BYTES = 20_971_520, 62_914_560, 1_048_576
MEMBERS, HISTORY, DEPTH, PARTS, HEAD_BYTES = 9_900, 49_900, 60, 500, 60_000
FORM = f"multipart/form-data; boundary={BOUNDARY.decode()}"
FILE = b'"image"; filename="a.jpg"'
END = b"\r\n--%b--\r\n" % BOUNDARY

Ports = tuple[int, int]  # the port to listen on, and the upstream's


@dataclass(frozen=True, slots=True)
class Api:
    """This service's own API at `/search` (the relay has it too), or the Responses API.

    `last`: bytes of a stream's last event alone. `whole`: it answers whole where no stream is asked
    for; else a stream always is, and is read to its end.
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
        before = PART % (BOUNDARY, b'"prompt"') + b"Search %d\r\n" % number
        before += PART % (BOUNDARY, FILE)
        return self._request(before, picture, END, media_type=FORM)

    def _request(self, *body: bytes, path: str = "", media_type: str = JSON) -> Request:
        return request(f"POST {path or self.path}", *body, media_type=media_type, key=self.key)

    def _responses_body(self, number: int, url: str, *, stream: bool) -> bytes:
        image = {"type": "input_image", "image_url": url}
        text = {"type": "input_text", "text": f"Search {number}"}
        body: dict[str, Any] = {"model": MODEL, "stream": stream or not self.whole}
        return json.dumps(body | {"input": [{"role": "user", "content": [text, image]}]}).encode()


@dataclass(frozen=True, slots=True)
class Subject:
    """One of those compared."""

    name: str
    api: Api
    server: Callable[[Path, Ports], Server]
    is_service: bool = False


def subjects(env: Mapping[str, str]) -> list[Subject]:
    """All that can be compared under this environment, in their order in the table."""
    api = Api("/search", last=b"event: search.completed\n", key=CLIENT_KEY)
    found = [
        Subject("nginx", Api(RESPONSES), _nginx),
        Subject("service", api, partial(_service, ROOT, ""), is_service=True),
    ]
    if more := env.get("BENCH_WITH"):
        found.append(Subject("with", api, partial(_service, ROOT, more), is_service=True))
    if checkout := env.get("BENCH_PREVIOUS"):
        server = partial(_service, Path(checkout).resolve(), "")
        found.append(Subject("previous", api, server, is_service=True))
    found.append(Subject("relay", Api("/search"), _relay))
    if env.get("BENCH_LITELLM"):
        found.append(Subject("litellm", Api(RESPONSES, LITELLM_KEY, whole=True), _litellm))
    return found


def _service(checkout: Path, more: str, _: Path, ports: Ports) -> Server:
    """`python -m app`, limits high, asked by a trusted proxy as in production: it keeps alive."""
    env = {"PYTHONPATH": str(checkout), "HOST": "127.0.0.1", "PORT": str(ports[0])}
    env |= {"DASHSCOPE_API_KEY": "sk-bench", "CLIENT_KEYS": f"bench:{CLIENT_KEY}"}
    env |= {"DASHSCOPE_BASE_URL": f"http://127.0.0.1:{ports[1]}/v1", "SHUTDOWN_GRACE_S": "1"}
    env |= {"RATE_LIMIT": "10000000/minute", "BUDGET_CLIENT_CNY_PER_DAY": "1000000000"}
    env |= {"CAPACITY": "10000", "TRUSTED_PROXIES": "127.0.0.1/32"}
    env |= {"IMAGE_INFLIGHT_MAX_BYTES": "1073741824"}
    more = more.replace("UPSTREAM", f"http://127.0.0.1:{ports[1]}")
    env |= dict(setting.split("=", 1) for setting in more.split())
    return Server([sys.executable, "-m", "app"], ports[0], "/readyz", env)


def _nginx(folder: Path, ports: Ports) -> Server:
    program = shutil.which("nginx", path=f"/usr/sbin:{os.environ['PATH']}")
    if not program:
        raise ServerFailed("nginx is not installed: apt-get install nginx-light")
    conf = _filled_in("nginx.conf", folder, ports)
    return Server([program, "-c", conf, "-e", str(folder / "log")], ports[0], "/stats")


def _relay(_: Path, ports: Ports) -> Server:
    command = [sys.executable, "-m", "uvicorn", "bench.relay:app", "--port", str(ports[0])]
    command += ["--loop", "uvloop", "--http", "httptools", "--backlog", "4096"]
    command += ["--log-level", "error", "--no-access-log"]
    upstream = f"http://127.0.0.1:{ports[1]}/v1/responses"
    env = {"PYTHONPATH": str(ROOT), "BENCH_UPSTREAM": upstream}
    return Server(command, ports[0], "/openapi.json", env)


def _litellm(folder: Path, ports: Ports) -> Server:
    """LiteLLM's proxy with one worker, from an environment of its own."""
    if not LITELLM.exists():
        raise ServerFailed("no .venv-litellm: make it and `pip install litellm[proxy]` there")
    command = [str(LITELLM), "--config", _filled_in("litellm.yaml", folder, ports)]
    command += ["--num_workers", "1", "--host", "127.0.0.1", "--port", str(ports[0])]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    return Server(command, ports[0], "/health/liveliness", env, within_s=180)


def _filled_in(name: str, folder: Path, ports: Ports) -> str:
    """A configuration file of the bench in `folder`, its words in capitals replaced."""
    text = (ROOT / "bench" / name).read_text(encoding="utf-8")
    words = {"FOLDER": str(folder), "UPSTREAM_PORT": str(ports[1]), "PORT": str(ports[0])}
    for word, value in (words | {"MODEL": MODEL, "KEY": LITELLM_KEY}).items():
        text = text.replace(word, value)
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


@lru_cache(maxsize=1)
def _data_url(picture: bytes) -> bytes:
    return b"data:image/jpeg;base64," + base64.b64encode(picture)


def bodies() -> Iterator[tuple[str, Request]]:
    """A name and a request for each bound; most of them are refused, some only at their end."""
    picture = jpeg(7_000_000)
    half = b"data:;base64," + base64.b64encode(picture * 3)[: BODY_BYTES // 2 - 9_000]
    yield "json_two_images", _json(b'{"image_url":["%b","%b"]}' % (half, half))
    yield "json_image", _json(b'{"image_url":"%b"}' % (half + half[99:]))
    slashes = half.replace(b"/", rb"\/", TEXT_BYTES - 9_000)
    yield "json_escapes", _json(b'{"image_url":["%b","%b"]}' % (slashes, half))
    yield "json_percents", _json(b'{"image_url":"data:,%b"}' % (b"%41" * (BODY_BYTES // 3 - 99)))
    yield "json_blanks", _json(b'{"image_url":"data:;base64,%b"}' % (b"A \\n" * 260_000))
    yield "json_text", _json({"image_url": URL, "prompt": "x" * (TEXT_BYTES - 999)})
    yield "json_unknown", _json({f"f{number}": 1 for number in range(MEMBERS)})
    yield "json_urls", _json({"image_url": [URL] * MEMBERS})
    yield "v1_items", _v1([{"role": "user", "content": "x"}] * (MEMBERS // 3))
    yield "v1_text", _v1([{"role": "user", "content": "x" * (TEXT_BYTES - 999)}])
    yield "v1_members", _v1("x", metadata={f"f{number}": "x" for number in range(MEMBERS)})
    yield "v1_depth", _v1([{"role": "user", "content": json.loads("[" * DEPTH + "]" * DEPTH)}])
    image = {"type": "input_image", "image_url": half.decode()}
    yield "v1_image", _v1([{"role": "user", "content": [image]}])
    texts = [half.decode()] * 2
    yield "v1_data_texts", _v1([{"role": "user", "content": text} for text in texts])
    yield "v1_data_members", _v1("x", metadata={"x": texts})
    yield "chat_numbers", _chat(messages=[1] * HISTORY)
    yield "chat_messages", _chat(messages=[{}] * (HISTORY // 2))
    yield "chat_urls", _chat(image_url=[1] * HISTORY)
    yield "chat_unknown", _chat(**{f"f{number}": 1 for number in range(HISTORY)})
    yield "form_image", _form((FILE, picture + bytes(IMAGE_BYTES - len(picture) - 99)))
    yield "form_segments", _form((FILE, b"\xff\xd8" + b"\xff\xfe\x00\x02" * (IMAGE_BYTES // 4 - 1)))
    yield "form_text", _form((b'"prompt"', b"x" * IMAGE_BYTES), (b'"model"', b"x" * IMAGE_BYTES))
    yield "form_dashes", _form((FILE, b"\r\n--" * (IMAGE_BYTES // 4 - 99)))
    yield "form_fields", _form(*[(b'"f%d"' % number, b"x") for number in range(PARTS)])
    yield "form_files", _form(*[(FILE, picture[:1_000])] * PARTS)
    for name, query in (
        ("query", f"prompt={'%20' * (HEAD_BYTES // 3)}"),
        ("query_unknown", "&".join(f"{number:x}" for number in range(HEAD_BYTES // 5))),
    ):
        yield name, request(f"GET /search/stream?{query}", key=CLIENT_KEY)


def _json(body: bytes | dict[str, Any], path: str = "/search") -> Request:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return request(f"POST {path}", b"", text, media_type=JSON, key=CLIENT_KEY)


def _v1(asked: Any, **members: Any) -> Request:
    return _json({"model": MODEL, "input": asked} | members, RESPONSES)


def _chat(**members: Any) -> Request:
    return _json({"id": "chat", "messages": []} | members, "/ui/chat")


def _form(*parts: tuple[bytes, bytes]) -> Request:
    texts = [PART % (BOUNDARY, name) + data for name, data in parts]
    return request("POST /search", b"", b"\r\n".join(texts) + END, media_type=FORM, key=CLIENT_KEY)
