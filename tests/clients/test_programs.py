"""The vendor page's programs, pointed at the service: base URL and key are all that differs."""

import json
import sys

import pytest

from tests.clients.children import CLIENTS, run
from tests.clients.openai_sdks import IMAGE_URL, PICTURE
from tests.node_packages import need_node
from tests.service import running

CLIENT_KEY = "shop-key-0123456789abcdef0123456789abcdef"

PROGRAMS = {
    "python": (sys.executable, "programs/search.py"),
    "python, streaming": (sys.executable, "programs/search.py", "stream"),
    "node": ("node", "node/search.mjs"),
    "node, streaming": ("node", "node/search_stream.mjs"),
}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_the_program_prints_what_was_searched_found_said_and_used(program: str) -> None:
    need_node(CLIENTS)
    async with running(client_keys=f"shop:{CLIENT_KEY}", allow_anonymous=False) as service:
        given = {"BASE_URL": f"{service.url}/v1", "API_KEY": CLIENT_KEY, "IMAGE_URL": IMAGE_URL}
        printed = (await run(*PROGRAMS[program], env=given)).splitlines()
        await service.record.idle()
        call = service.record.calls[-1]
    said = dict(line.split(": ", 1) for line in printed)
    found = [value for name, value in said.items() if name.startswith("found ")]
    assert json.loads(said["tool call"]) == {"img_idx": 0, "bbox": [0, 0, 1000, 1000]}
    assert found[0].startswith(f"{PICTURE.title} http")
    assert len(found) > 1
    assert PICTURE.title in said["text"]
    assert int(said["tokens"]) == call.input_tokens + call.output_tokens
    assert int(said["tool count"]) == call.tool_calls == 1
