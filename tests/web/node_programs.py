"""Node programs of this folder as child processes, with the packages that its lock names."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
GUARD_S = 240
"""Of real time; a program that takes longer hangs."""


async def run_node(script: str, **given: Any) -> Any:
    """Run `node/<script>.mjs` with `given` as JSON in its input; gives the JSON that it prints.

    A page that a program opens in Chromium needs the flags of `tests.clients.chromium`.
    """
    return json.loads(await run_command("node", f"node/{script}.mjs", given=json.dumps(given)))


async def run_command(*command: str, given: str = "", cwd: Path = HERE) -> str:
    """Run a program to its end, which has to be a good one; gives what it prints."""
    need_node()
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=environment | {"NO_PROXY": "*"},
        limit=2**24,
    )
    try:
        async with asyncio.timeout(GUARD_S):
            out, err = await child.communicate(given.encode())
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0, f"{out.decode()[-2000:]}\n{err.decode()[-4000:]}"
    return out.decode()


@asynccontextmanager
async def started_node(program: str, **variables: str) -> AsyncIterator[str]:
    """Run a program that serves; gives its first line, and ends it by its own id."""
    child = await asyncio.create_subprocess_exec(
        *("node", program),
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*"} | variables,
        stdout=asyncio.subprocess.PIPE,
        cwd=HERE,
    )
    try:
        async with asyncio.timeout(GUARD_S):
            assert child.stdout
            yield (await child.stdout.readline()).decode().strip()
    finally:
        child.kill()
        await child.wait()


def need_node() -> None:
    """Skip where Node's packages cannot be had; fail instead where they must be."""
    if reason := why_no_node():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@cache
def why_no_node() -> str:
    """Why Node programs cannot run, after installing what the lock names; empty if they can."""
    if not shutil.which("node") or not shutil.which("npm"):
        return "Node programs need node and npm on the PATH"
    if _versions(HERE / "node_modules" / ".package-lock.json") != _versions(
        HERE / "package-lock.json"
    ):
        command = ["npm", "ci", "--no-audit", "--no-fund"]
        ended = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        if ended.returncode:
            return f"npm ci failed in tests/web: {ended.stderr[-500:]}"
    return ""


def _versions(lock: Path) -> dict[str, str]:
    """What a lock names; packages for other machines are left out by npm where it installs."""
    if not lock.exists():
        return {}
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    return {
        name: package["version"]
        for name, package in packages.items()
        if "version" in package and not package.get("optional")
    }
