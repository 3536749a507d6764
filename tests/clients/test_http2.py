"""Node's HTTP/2 client, with nginx in front of the service."""

from pathlib import Path
from urllib.parse import urljoin

from tests.clients.children import run_node
from tests.e2e.callers import ASKED
from tests.e2e.test_plain_nginx import nginx
from tests.service import running


async def test_a_stream_comes_over_http2_while_the_upstream_still_waits(tmp_path: Path) -> None:
    async with running(root_path="/images") as service, nginx(tmp_path, service.url) as http:
        assert (await http.get("/images/healthz")).status_code == 200
        given = {
            "socket": str(tmp_path / "http2"),
            "path": "/images/search/stream",
            "gate": urljoin(service.upstream_url, "/gate/http2"),
            "asked": ASKED | {"prompt": "[sim gated tag=http2]"},
        }
        read = await run_node("http2", given=given)
    assert read["text"].startswith("event: search.created\n")
    assert "event: search.completed\n" in read["text"]
    assert "connection" not in read["names"]
