"""Pictures are decoded where a container locks down all that it can."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.images.files import encoded, scene
from tests.e2e.images.workers import MODULE, command_of
from tests.processes import KEY, simulator, started
from tests.slow.images.sandbox import command

SERVERS = {
    "as shipped": ("app",),
    "uvicorn": ("uvicorn", "app.main:app", "--port", "0"),
    "hypercorn": ("hypercorn", "app.main:app", "--workers", "0", "--bind", "127.0.0.1:0"),
}
SANDBOX = "tests.slow.images.sandbox"
PROBE = "open('/tmp/a', 'w')"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter as the image has it: its user may run it, and not read it."""
    if sys.platform != "linux" or os.geteuid() or not shutil.which("bwrap"):
        pytest.skip("needs Linux, root and bwrap (apt-get install bubblewrap)")
    copy = tmp_path_factory.mktemp("bin") / "python"
    shutil.copy(os.path.realpath(sys.executable), copy)
    copy.chmod(0o711)
    tried = subprocess.run(
        command(str(copy), "timeit", "-n", "1", PROBE), capture_output=True, text=True, check=False
    )
    if "Read-only file system" not in tried.stderr:
        pytest.skip(f"no sandbox can be made here: {tried.stderr[-300:]}")
    return copy


def family(pid: int) -> Iterator[int]:
    """All descendants of a process."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from family(child)


def check_user(worker: int) -> None:
    """A worker has no rights, and cannot read the service's memory or environment."""
    status = Path(f"/proc/{worker}/status").read_text()
    assert "\nUid:\t10001\t10001\t10001\t10001\n" in status
    service = int(status.partition("PPid:")[2].split()[0])
    # Root's, since the process is not dumpable (proc(5)).
    assert Path(f"/proc/{service}/environ").stat().st_uid == 0


@pytest.mark.parametrize("server", SERVERS)
async def test_it_decodes_on_a_read_only_root_without_tmp_and_shared_memory(
    server: str, program: Path
) -> None:
    if not importlib.util.find_spec(SERVERS[server][0]):
        pytest.skip(f"{server} is not installed")
    async with asyncio.timeout(90), simulator() as upstream:
        settings = {
            "DASHSCOPE_API_KEY": KEY,
            "DASHSCOPE_BASE_URL": f"{upstream.url}/compatible-mode/v1",
            "ALLOW_ANONYMOUS": "true",
            "PORT": "0",
        }
        async with (
            started(SANDBOX, str(program), *SERVERS[server], **settings) as process,
            httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http,
        ):
            picture = encoded(scene(), "GIF")
            answer = await http.post("/search", files={"image": ("a", picture)})
            assert answer.status_code == 200, process.said
            workers = [pid for pid in family(process.pid) if MODULE in command_of(pid)]
            assert len(workers) == 2
            for pid in workers:
                check_user(pid)
