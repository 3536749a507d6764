"""Node's HTTP/2 client, with nginx in front of the service."""

from pathlib import Path
from urllib.parse import urljoin, urlsplit

from tests.clients.children import run_node
from tests.e2e.callers import ASKED
from tests.e2e.test_nginx import SHIPPED, nginx
from tests.service import running


async def test_a_stream_comes_over_http2_while_the_upstream_still_waits(tmp_path: Path) -> None:
    socket = tmp_path / "http2"
    listening = SHIPPED.replace("listen 80;", f"listen 80; listen unix:{socket} http2;")
    async with running() as service:
        given = {
            "socket": str(socket),
            "path": "/search/stream",
            "gate": urljoin(service.upstream_url, "/gate/http2"),
            "asked": ASKED | {"prompt": "[sim gated tag=http2]"},
        }
        async with nginx(tmp_path, urlsplit(service.url).port or 0, listening):
            read = await run_node("http2", given=given)
    assert read["text"].startswith("event: search.created\n")
    assert "event: search.completed\n" in read["text"]
    assert "connection" not in read["names"]
