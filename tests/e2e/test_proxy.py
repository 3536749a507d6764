"""The way to the upstream: through a CONNECT proxy with a password, and with a private CA."""

import asyncio
import base64
import io
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from simulator import create_app
from simulator.serving import serving as serving_app
from tests.e2e.asking import ASKED
from tests.peer import Handler, Peer, Reader, Writer, serving
from tests.service import FAST, running_against

PASSWORD = base64.b64encode(b"user:secret")


async def copy(reader: Reader, writer: Writer) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def forwards(port: int, *, connect: bool = False) -> Handler:
    """Forwards each connection to a port; with `connect` as a proxy that is asked for it."""

    async def handle(peer: Peer, reader: Reader, writer: Writer) -> None:
        if connect:
            await peer.request(reader)
            if b"Proxy-Authorization: Basic " + PASSWORD not in peer.requests[-1]:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    return handle


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("ca")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", "key.pem", "-out", "ca.pem"]
    subprocess.run([*command.split(), *names, *files], check=True, cwd=folder, capture_output=True)
    return folder / "ca.pem", folder / "key.pem"


@pytest.fixture
async def upstream(certificate: tuple[Path, Path]) -> AsyncGenerator[Peer, None]:
    """The stand-in upstream behind TLS."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    async with (
        serving_app(create_app(FAST)) as url,
        serving(forwards(int(url.rpartition(":")[2])), tls=tls) as peer,
    ):
        yield peer


async def searched(upstream: Peer, **settings: Any) -> dict[str, Any]:
    """The result of a search with a large upload."""
    base_url = f"https://localhost:{upstream.port}/compatible-mode/v1"
    large = io.BytesIO()
    Image.effect_noise((1600, 1600), 80).save(large, "PNG")
    files = {"image": ("x.png", large.getvalue())}
    async with running_against(base_url, upstream_retries=0, **settings) as service:
        answer = await service.http.post("/search", data={"prompt": ASKED["prompt"]}, files=files)
        assert "secret" not in answer.text
        result: dict[str, Any] = answer.json()
        return result


async def test_a_private_ca_is_trusted_only_where_it_is_given(
    certificate: tuple[Path, Path], upstream: Peer
) -> None:
    found = await searched(upstream, upstream_ca_file=str(certificate[0]))
    assert found["status"] == "completed"
    refused = await searched(upstream)
    assert (refused["code"], refused["billed"]) == ("upstream_unavailable", "no")


@pytest.mark.parametrize(
    ("login", "code"),
    [("user:secret@", None), ("user:wrong@", "upstream_unavailable"), ("", "upstream_unavailable")],
)
async def test_a_proxy_is_used_with_its_password_and_one_that_refuses_costs_nothing(
    login: str, code: str | None, certificate: tuple[Path, Path], upstream: Peer
) -> None:
    async with serving(forwards(upstream.port, connect=True)) as proxy:
        proxy_url = f"http://{login}127.0.0.1:{proxy.port if login else 9}"
        ca_file = str(certificate[0])
        found = await searched(upstream, upstream_proxy=proxy_url, upstream_ca_file=ca_file)
    assert (found.get("code"), found.get("billed")) == (code, code and "no")
    if login:
        assert proxy.requests[0].startswith(b"CONNECT localhost:%d " % upstream.port)
