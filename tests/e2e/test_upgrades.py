"""A wish to speak another protocol is passed over (RFC 9110 §7.8): the request is served as it is.

Java's HttpClient and `curl --http2` utter it with every request over plain http.
"""

import asyncio
import json
import os
import shutil
from typing import Any

import jwt
import pytest

from simulator.pictures import PICTURES
from tests.clock import settle
from tests.e2e.callers import EVIL, GUARDED, SHOP
from tests.service import GALLERY_URL, running
from tests.wire import Wire, dial, send_at_once

GUARD_S = 60
WISH = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQ"}
SOCKET = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
ASKED = {"image_url": GALLERY_URL + PICTURES[7].name}
CURL = shutil.which("curl")


def asking(
    path: str, body: bytes, *, headers: dict[str, str] = WISH, chunked: bool = False
) -> bytes:
    """A POST that wishes for another protocol."""
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(body))}
    fields = {"Host": "x", "Content-Type": "application/json"} | headers | framing
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    head = "\r\n".join([*lines, "", ""]).encode()
    return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)


async def answer(wire: Wire) -> tuple[int, dict[str, Any]]:
    status, headers = await wire.head()
    return status, json.loads(await wire.reader.readexactly(int(headers["content-length"])))


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize("wish", [WISH, SOCKET], ids=["h2c", "websocket"])
async def test_a_body_behind_the_wish_is_read(wish: dict[str, str], *, chunked: bool) -> None:
    asked = asking("/search", json.dumps(ASKED).encode(), headers=wish, chunked=chunked)
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        for _ in range(2):
            wire.send(asked)
            status, result = await answer(wire)
            assert (status, result["status"]) == (200, "completed")


async def test_it_is_read_wherever_the_request_is_cut() -> None:
    asked = asking("/search", b"{}")
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        send_at_once(wire)
        for cut in range(1, len(asked)):
            wire.send(asked[:cut])
            await settle(5)
            wire.send(asked[cut:])
            assert (await answer(wire))[1]["code"] == "image_missing", asked[:cut]


async def test_requests_behind_it_on_the_connection_are_read_too() -> None:
    asked = asking("/search", json.dumps(ASKED).encode())
    plain = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send((asked + plain) * 20)
        for _ in range(20):
            assert (await answer(wire))[1]["object"] == "search"
            assert (await answer(wire))[1] == {"status": "ready"}


async def test_a_body_that_looks_like_a_wish_is_left_as_it_is() -> None:
    prompt = "Look\r\nUpgrade: h2c\r\nConnection: upgrade"
    parts = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (ASKED | {"prompt": prompt}).items()
    )
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(asking("/search", f"{parts}--b--\r\n".encode(), headers=WISH | form))
        told = (await answer(wire))[1]
        plain = await service.http.post("/search", json=ASKED | {"prompt": prompt})
        assert (plain.headers["x-cache"], plain.json()) == ("hit", told)


async def test_a_token_is_minted_as_it_was_asked_for() -> None:
    async with asyncio.timeout(GUARD_S), running(**GUARDED) as service, dial(service.url) as wire:
        body = json.dumps({"origin": EVIL, "ttl_s": 60}).encode()
        wire.send(asking("/tokens", body, headers=WISH | SHOP))
        status, minted = await answer(wire)
        assert status == 200
        claims = jwt.decode(minted["token"], options={"verify_signature": False})
        assert claims["origin"] == EVIL


@pytest.mark.parametrize("path", ["/tokens", "/search"])
async def test_where_the_server_loses_the_body_the_request_is_refused(path: str) -> None:
    """As uvicorn's own parser does, under which the plain application may be served."""
    plain = running(**GUARDED, http="httptools")
    async with asyncio.timeout(GUARD_S), plain as service, dial(service.url) as wire:
        wire.send(asking(path, json.dumps({"ttl_s": 60}).encode(), headers=WISH | SHOP))
        status, problem = await answer(wire)
        assert (status, problem["code"]) == (400, "malformed_body")
        assert "Content-Length" in problem["detail"]


async def test_a_tunnel_is_not_built() -> None:
    async with asyncio.timeout(GUARD_S), running() as service, dial(service.url) as wire:
        wire.send(b"CONNECT a.example:80 HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert (await wire.head()).status == 400


@pytest.mark.skipif(CURL is None and os.environ.get("CI") != "true", reason="curl is not installed")
async def test_curl_may_ask_for_http_2() -> None:
    assert CURL
    async with asyncio.timeout(GUARD_S), running() as service:
        given = ("--json", json.dumps(ASKED), f"{service.url}/search")
        asked = await asyncio.create_subprocess_exec(
            *(CURL, "--http2", "--silent", "--fail-with-body", *given),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asked.communicate()
        assert json.loads(said)["status"] == "completed"
