"""The container image, built on a base from Debian and run by runc: `make image-test`."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.e2e.asking import ASKED
from tests.e2e.images.files import encoded, scene
from tests.processes import ROOT, Process, in_front_of, simulator

if "IMAGE_FOLDER" not in os.environ:
    pytest.skip("`make image-test` builds the image that is tried here", allow_module_level=True)

FOLDER = Path(os.environ["IMAGE_FOLDER"])
MOST_BYTES = 350_000_000
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SERVERS = {
    "as-shipped": (),
    "uvicorn": ("sh", "-c", 'exec uvicorn app.main:app --host "$HOST" --port "$PORT"'),
}
TEXT = (FOLDER / "config.json").read_text()
CONFIG = json.loads(TEXT)["config"]
CAPABILITIES = ("bounding", "effective", "inheritable", "permitted", "ambient")
SECRET = b"sk-canary-that-stays-outside"
LEFT_BEHIND = (
    r"(^|/)(\.env|direct_url\.json|pip\.conf|\.netrc|certificates\.pem|secrets/.+|key\.pyc)$"
)


def runc(*arguments: str) -> list[str]:
    return ["runc", "--root", str(FOLDER / "runc"), *arguments]


def bundle(name: str, *command: str, **settings: str) -> Path:
    """A container of the image: nothing may be written, and there are no rights."""
    folder = FOLDER / name
    folder.mkdir()
    subprocess.run(runc("spec"), cwd=folder, check=True)
    spec = json.loads((folder / "config.json").read_text())
    uid, gid = map(int, CONFIG["User"].split(":"))
    spec["process"] |= {
        "terminal": False,
        "user": {"uid": uid, "gid": gid},
        "args": list(command or CONFIG["Cmd"]),
        "env": [*CONFIG["Env"], *(f"{name}={value}" for name, value in settings.items())],
        "cwd": CONFIG["WorkingDir"],
        "capabilities": {kind: [] for kind in CAPABILITIES},
        "rlimits": [],
    }
    spec["root"] = {"path": str((FOLDER / "rootfs").resolve()), "readonly": True}
    # The stand-in is on this machine's loopback, and not every machine has limits by cgroups.
    spec["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    spec["linux"].pop("resources", None)
    spec["mounts"] = [each for each in spec["mounts"] if each["destination"] != "/sys/fs/cgroup"]
    (folder / "config.json").write_text(json.dumps(spec))
    return folder


def output(name: str, *command: str) -> str:
    """What a command prints in a container of its own."""
    folder = bundle(name, *command)
    return subprocess.run(
        runc("run", "--bundle", str(folder), name), capture_output=True, text=True, check=True
    ).stdout


class Container(NamedTuple):
    name: str
    process: Process
    http: httpx.AsyncClient

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user and with its environment."""
        called = runc("exec", self.name, *command)
        return subprocess.run(called, capture_output=True, text=True, check=False)


@asynccontextmanager
async def service(name: str, upstream: Process, *command: str) -> AsyncIterator[Container]:
    """The service in a container, when it listens; by the image's command if none is given."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    listens = {"HOST": "127.0.0.1", "PORT": port, "ALLOW_ANONYMOUS": "true"}
    settings = in_front_of(upstream.url) | listens
    folder = bundle(name, *command, **settings)
    child = await asyncio.create_subprocess_exec(
        *runc("run", "--bundle", str(folder), name),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    process = Process(child)
    try:
        await process.ready()
        async with httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http:
            yield Container(name, process, http)
    finally:
        # A container that has ended is gone already.
        if child.returncode is None:
            deleting = await asyncio.create_subprocess_exec(*runc("delete", "--force", name))
            await deleting.wait()
        await process.ended()


@pytest.fixture(scope="module", autouse=True)
def _containers() -> None:
    """Skip where no container can be made, whatever is in it."""
    try:
        output("probe", "/bin/true")
    except subprocess.CalledProcessError as failed:
        pytest.skip(f"runc makes no container on this machine: {failed.stderr[-300:]}")


def test_it_has_user_health_labels_version_and_no_setting_of_the_build() -> None:
    assert CONFIG["User"] == "10001:10001"
    assert (CONFIG["StopSignal"], CONFIG["Cmd"]) == ("SIGTERM", ["python", "-m", "app"])
    assert CONFIG["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert not re.search(r"PIP_|://|cert|proxy=", TEXT, re.IGNORECASE)
    names = {each.partition("=")[0] for each in CONFIG["Env"]}
    assert names == {
        *("PATH", "HOST", "PORT", "MALLOC_MMAP_THRESHOLD_"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"),
    }
    label = "org.opencontainers.image."
    labels = {name: value for name, value in CONFIG["Labels"].items() if label in name}
    assert {name.removeprefix(label) for name in labels} >= {"title", "licenses", "description"}
    assert labels[f"{label}version"] == VERSION
    assert output("version", "python", "-m", "app", "--version") == f"{VERSION}\n"
    exporter = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    output("traces", "python", "-c", f"import {exporter}")


def test_no_layer_has_a_secret_an_address_of_an_index_or_what_the_build_left_behind() -> None:
    said = (FOLDER / "pip.conf").read_text()
    hosts = [host.encode() for host in re.findall(r"://[^\s]+", said)]
    size_bytes = 0
    for file in (FOLDER / "layers").rglob("*"):
        assert not re.search(LEFT_BEHIND, str(file)), file
        if file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            size_bytes += len(content)
            assert not any(kept_out in content for kept_out in (SECRET, *hosts)), file
    print(f"{size_bytes / 1e6:.0f} MB unpacked")  # noqa: T201 - the log says how large it is
    assert size_bytes <= MOST_BYTES


@pytest.mark.parametrize("server", SERVERS)
async def test_it_serves_and_decodes_without_rights_or_disk_and_ends_well(server: str) -> None:
    async with (
        asyncio.timeout(90),
        simulator() as upstream,
        service(server, upstream, *SERVERS[server]) as container,
    ):
        # It listens before it has started.
        assert (await container.http.get("/readyz")).status_code == 200
        assert container.inside(*CONFIG["Healthcheck"]["Test"][1:]).returncode == 0
        status = container.inside("cat", "/proc/1/status").stdout
        assert "\nUid:\t10001\t10001\t10001\t10001\n" in status
        assert set(re.findall(r"^Cap\w+:\t(\w+)$", status, re.MULTILINE)) == {"0" * 16}
        for place in ("/srv/a", "/tmp/a", "/venv/a"):
            assert "Read-only file system" in container.inside("touch", place).stderr
        # What a taken over picture worker would read: not dumpable, so it is root's (proc(5)).
        assert "Permission denied" in container.inside("cat", "/proc/1/environ").stderr
        for kind in ("JPEG", "HEIF", "TIFF"):
            picture = encoded(scene(), kind)
            answer = await container.http.post("/search", files={"image": ("a", picture)})
            assert (answer.status_code, answer.json()["outcome"]) == (200, "matched"), kind
        asked = ASKED | {"prompt": "[sim silence s=1]"}
        async with container.http.stream("POST", "/search/stream", json=asked) as response:
            container.process.signal(signal.SIGTERM)
            assert b"event: search.completed" in await response.aread()
        assert await container.process.ended() == 0
