"""The way to the upstream: through a CONNECT proxy with a password, and with a private CA."""

import asyncio
import base64
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
from tests.e2e.images.files import encoded
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


LARGE = encoded(Image.effect_noise((1600, 1600), 80), "PNG")
"""A picture of more bytes than a TLS connection takes at once."""
PROXIES: list[tuple[str, bool, str | None]] = [
    # who logs in to the proxy (empty: there is none), whether the CA is given, our code
    ("", True, None),
    ("", False, "upstream_unavailable"),
    ("user:secret", True, None),
    ("user:wrong", True, "upstream_unavailable"),
    ("user:down", True, "upstream_unavailable"),
]


@pytest.mark.parametrize(("login", "trusts", "code"), PROXIES)
async def test_a_search_goes_through_the_proxy_to_whom_the_ca_speaks_for_or_costs_nothing(
    login: str, code: str | None, certificate: tuple[Path, Path], upstream: Peer, *, trusts: bool
) -> None:
    settings: dict[str, Any] = {"upstream_ca_file": str(certificate[0])} if trusts else {}
    base_url = f"https://localhost:{upstream.port}/compatible-mode/v1"
    async with serving(forwards(upstream.port, connect=True)) as proxy:
        if login:
            port = 9 if login == "user:down" else proxy.port
            settings["upstream_proxy"] = f"http://{login}@127.0.0.1:{port}"
        async with running_against(base_url, upstream_retries=0, **settings) as service:
            fields, files = {"prompt": ASKED["prompt"]}, {"image": LARGE}
            answer = await service.http.post("/search", data=fields, files=files)
    assert "secret" not in answer.text
    found = answer.json()
    assert (found.get("code"), found.get("billed")) == (code, code and "no")
    assert found["status"] == ("completed" if code is None else 502)
    for request in proxy.requests:
        assert request.startswith(b"CONNECT localhost:%d " % upstream.port)
    assert bool(proxy.requests) is (login not in ("", "user:down"))
