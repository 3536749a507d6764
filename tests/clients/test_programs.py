"""The vendor page's programs, pointed at the service: base URL and key are all that differs."""

import json
import sys

import pytest

from tests.clients.children import CLIENTS, run
from tests.clients.openai_sdks import IMAGE_URL, PICTURE
from tests.e2e.callers import GUARDED, SHOP_KEY
from tests.node_packages import need_node
from tests.service import running

PROGRAMS = {
    "python": (sys.executable, "programs/search.py"),
    "python, streaming": (sys.executable, "programs/search.py", "stream"),
    "node": ("node", "node/search.mjs"),
    "node, streaming": ("node", "node/search_stream.mjs"),
}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_the_program_prints_what_was_searched_found_said_and_used(program: str) -> None:
    need_node(CLIENTS)
    async with running(**GUARDED) as service:
        given = {"BASE_URL": f"{service.url}/v1", "API_KEY": SHOP_KEY, "IMAGE_URL": IMAGE_URL}
        printed = (await run(*PROGRAMS[program], env=given)).splitlines()
        call = await service.last_call()
    said = dict(line.split(": ", 1) for line in printed)
    found = [value for name, value in said.items() if name.startswith("found ")]
    assert json.loads(said["tool call"]) == {"img_idx": 0, "bbox": [0, 0, 1000, 1000]}
    assert found[0].startswith(f"{PICTURE.title} http")
    assert len(found) > 1
    assert PICTURE.title in said["text"]
    assert int(said["tokens"]) == call.input_tokens + call.output_tokens
    assert int(said["tool count"]) == call.tool_calls == 1
