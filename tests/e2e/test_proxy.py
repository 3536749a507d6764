"""The way to the upstream: through a CONNECT proxy with a password, and with a private CA."""

import asyncio
import base64
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from simulator import create_app
from simulator.serving import serving
from tests.service import FAST, GALLERY_URL, running_against

ASKED = {"image_url": f"{GALLERY_URL}red-lighthouse.jpg", "prompt": "[sim normal]"}
PASSWORD = base64.b64encode(b"user:secret").decode()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def forwarding(
    port: int, *, tls: ssl.SSLContext | None = None, connect: bool = False
) -> AsyncGenerator[tuple[int, list[bytes]], None]:
    """Forward connections to a port: behind TLS, or as a proxy that asks for `CONNECT`."""
    heads: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connect:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            if f"Proxy-Authorization: Basic {PASSWORD}".encode() not in heads[-1]:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                writer.close()
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("ca")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    files = folder / "ca.pem", folder / "key.pem"
    subprocess.run([*made, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


@pytest.fixture
async def upstream_port(certificate: tuple[Path, Path]) -> AsyncGenerator[int, None]:
    """The stand-in upstream behind TLS."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    async with (
        serving(create_app(FAST)) as url,
        forwarding(int(url.rpartition(":")[2]), tls=tls) as (port, _),
    ):
        yield port


async def test_an_upstream_with_a_private_ca_is_searched(
    certificate: tuple[Path, Path], upstream_port: int
) -> None:
    base_url = f"https://localhost:{upstream_port}/compatible-mode/v1"
    async with running_against(base_url, upstream_ca_file=str(certificate[0])) as service:
        result = (await service.http.post("/search", json=ASKED)).json()
    assert result["status"] == "completed"


async def test_an_unknown_ca_is_not_trusted_and_nothing_is_billed(upstream_port: int) -> None:
    base_url = f"https://localhost:{upstream_port}/compatible-mode/v1"
    async with running_against(base_url, upstream_retries=0) as service:
        response = await service.http.post("/search", json=ASKED)
    problem = response.json()
    assert (problem["code"], problem["billed"]) == ("upstream_unavailable", "no")


async def test_a_search_goes_through_a_proxy_with_a_password_and_a_private_ca(
    certificate: tuple[Path, Path], upstream_port: int
) -> None:
    base_url = f"https://localhost:{upstream_port}/compatible-mode/v1"
    async with forwarding(upstream_port, connect=True) as (proxy_port, heads):
        settings = {
            "upstream_proxy": f"http://user:secret@127.0.0.1:{proxy_port}",
            "upstream_ca_file": str(certificate[0]),
        }
        async with running_against(base_url, **settings) as service:
            result = (await service.http.post("/search", json=ASKED)).json()
    assert result["status"] == "completed"
    assert heads[0].startswith(f"CONNECT localhost:{upstream_port} ".encode())


@pytest.mark.parametrize("login", ["", "user:wrong@"])
async def test_a_proxy_that_is_down_or_refuses_costs_nothing(
    login: str, certificate: tuple[Path, Path], upstream_port: int
) -> None:
    base_url = f"https://localhost:{upstream_port}/compatible-mode/v1"
    async with forwarding(upstream_port, connect=True) as (proxy_port, _):
        port = proxy_port if login else 9
        settings: dict[str, Any] = {
            "upstream_proxy": f"http://{login}127.0.0.1:{port}",
            "upstream_ca_file": str(certificate[0]),
            "upstream_retries": 0,
        }
        async with running_against(base_url, **settings) as service:
            response = await service.http.post("/search", json=ASKED)
    problem = response.json()
    assert (problem["code"], problem["billed"]) == ("upstream_unavailable", "no")
    assert "secret" not in response.text
