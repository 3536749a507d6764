"""`python -m app`: where it listens, how long it keeps idle connections, and how it ends."""

import asyncio
import socket
import sys
from typing import Any

import httpx
import pytest
import uvloop

from app.main import create_app
from app.server import listen, server_config
from app.settings import Settings, load
from tests.processes import started

SETTINGS = {"DASHSCOPE_API_KEY": "sk-any", "ALLOW_ANONYMOUS": "true"}


def settings_of(**values: Any) -> Settings:
    return load(_env_file=None, dashscope_api_key="sk-any", allow_anonymous=True, **values)


async def test_the_address_of_all_addresses_is_that_of_ipv4_too() -> None:
    try:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as probe:
            port = str(probe.getsockname()[1])
    except (OSError, ValueError):
        pytest.skip("this machine has no IPv6")
    async with started("app", **SETTINGS, HOST="::", PORT=port), httpx.AsyncClient() as http:
        for host in ("127.0.0.1", "[::1]"):
            assert (await http.get(f"http://{host}:{port}/healthz")).status_code == 200


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
INHERITED = ("TCP_USER_TIMEOUT", "TCP_NOTSENT_LOWAT", "TCP_NODELAY")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems lack the options")
@pytest.mark.parametrize("loop", LOOPS)
def test_accepted_connections_have_the_listeners_options(loop: str) -> None:
    """A reader that stalls is dropped by the kernel; small events are sent at once."""

    async def options() -> list[int]:
        accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        listener = listen(settings_of(stream_send_timeout_s=7, port=0))
        address = listener.getsockname()
        async with await asyncio.start_server(lambda _, one: accepted.put(one), sock=listener):
            _, caller = await asyncio.open_connection(*address)
            writer = await accepted.get()
            sock = writer.get_extra_info("socket")
            options = [getattr(socket, name) for name in INHERITED]
            found = [sock.getsockopt(socket.IPPROTO_TCP, option) for option in options]
            for one in (caller, writer):
                one.close()
            return found

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        user_timeout_ms, low_water_bytes, no_delay = runner.run(options())
    assert (user_timeout_ms, bool(no_delay)) == (7_000, True)
    assert 0 < low_water_bytes <= 65_536


def test_an_idle_connection_outlives_those_that_proxies_keep() -> None:
    """Most of them close theirs after 60 s, and so never send a request into one that closes."""
    settings = settings_of()
    config = server_config(create_app(settings), settings)
    assert config.timeout_keep_alive > 60
    assert (config.server_header, config.access_log) == (False, False)
