"""`python -m app`: where it listens, how long it keeps idle connections, and how it ends."""

import asyncio
import socket

import httpx
import pytest

from app.main import create_app
from app.server import server_config
from app.settings import load
from tests.processes import started

GUARD_S = 60
SETTINGS = {
    "DASHSCOPE_API_KEY": "sk-any",
    "DASHSCOPE_BASE_URL": "http://127.0.0.1:9/v1",
    "ALLOW_ANONYMOUS": "true",
}


def free_port_of_both() -> int | None:
    """A port that is free with IPv4 and IPv6; `None` where there is no IPv6."""
    try:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as probe:
            port: int = probe.getsockname()[1]
            return port
    except (OSError, ValueError):
        return None


async def test_the_address_of_all_addresses_is_that_of_ipv4_too() -> None:
    if (port := free_port_of_both()) is None:
        pytest.skip("this machine has no IPv6")
    async with (
        asyncio.timeout(GUARD_S),
        started("app", **SETTINGS, HOST="::", PORT=str(port)),
        httpx.AsyncClient() as http,
    ):
        for host in ("127.0.0.1", "[::1]"):
            assert (await http.get(f"http://{host}:{port}/healthz")).status_code == 200


async def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match=rf"cannot start: .*\b{port}\b"):
            async with asyncio.timeout(GUARD_S), started("app", **SETTINGS, PORT=str(port)):
                pass


def test_an_idle_connection_outlives_those_that_proxies_keep() -> None:
    """Most of them close theirs after 60 s, and so never send a request into one that closes."""
    settings = load(
        _env_file=None,
        dashscope_api_key="sk-any",
        dashscope_base_url="http://127.0.0.1:9/v1",
        allow_anonymous=True,
    )
    config = server_config(create_app(settings), settings)
    assert config.timeout_keep_alive > 60
    assert config.server_header is False
    assert config.access_log is False
