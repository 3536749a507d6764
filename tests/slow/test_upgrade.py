"""Clients that ask for HTTP/2 by an Upgrade header: refused in words alone, served behind nginx."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.e2e.asking import IMAGE_URL
from tests.e2e.test_nginx import nginx
from tests.installed import need
from tests.processes import service, simulator

BODY = json.dumps({"image_url": IMAGE_URL})
PROGRAMS = {
    "curl": [
        *("curl", "-s", "--http2", "-H", "Content-Type: application/json"),
        *("-w", "\n%{http_code}", "-d", BODY, "URL"),
    ],
    "java": ["java", str(Path(__file__).parent / "Post.java"), "URL", BODY],
}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> list[str]:
    """A command that posts a search to `URL`, and prints the answer's body and status."""
    command = PROGRAMS[request.param]
    need(command[0], package="curl default-jre-headless")
    return command


async def answer_to(command: list[str], url: str) -> tuple[int, dict[str, object]]:
    filled = [f"{url}/search" if word == "URL" else word for word in command]
    child = await asyncio.create_subprocess_exec(*filled, stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    body, _, status = output.decode().strip().rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.timeout(300)
async def test_a_body_behind_an_upgrade_is_refused_and_read_through_nginx(
    program: list[str], tmp_path: Path
) -> None:
    async with asyncio.timeout(280), simulator() as upstream, service(upstream) as process:
        status, problem = await answer_to(program, process.url)
        assert (status, problem["code"]) == (400, "malformed_request")
        assert "HTTP_1_1" in str(problem["detail"])
        async with nginx(tmp_path, int(process.url.rpartition(":")[2])) as url:
            status, result = await answer_to(program, url)
            assert (status, result["status"]) == (200, "completed")
