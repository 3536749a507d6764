"""Client programs as child processes: started with a clean environment, ended by their pid."""

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

CLIENTS = Path(__file__).parent
LOCK = CLIENTS / "package-lock.json"
GUARD_S = 90
"""Of real time; a program that takes longer hangs."""


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    out: str
    err: str


async def run(*command: str, given: str = "", **variables: str) -> Ended:
    """Run a program to its end with `given` as its input; only `variables` reach it."""
    environment = {"PATH": os.environ["PATH"], "NO_PROXY": "*", "PYTHONWARNINGS": "ignore"}
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=CLIENTS,
        env=environment | variables,
    )
    try:
        async with asyncio.timeout(GUARD_S):
            out, err = await child.communicate(given.encode())
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return Ended(child.returncode or 0, out.decode(), err.decode())


async def run_node(script: str, *arguments: str, given: Any = None, **variables: str) -> Ended:
    """Run `node/<script>.mjs`; without Node the test is skipped, on CI it fails."""
    need_node()
    sent = "" if given is None else json.dumps(given)
    return await run("node", f"node/{script}.mjs", *arguments, given=sent, **variables)


async def run_python(script: str, **variables: str) -> Ended:
    """Run `programs/<script>.py` with this interpreter."""
    return await run(sys.executable, f"programs/{script}.py", **variables)


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
    # One process installs, and others that run tests at the same time wait for it.
    with LOCK.open(encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _installed() != _versions(LOCK):
            command = ["npm", "ci", "--no-audit", "--no-fund"]
            ended = subprocess.run(
                command, cwd=CLIENTS, capture_output=True, text=True, check=False
            )
            if ended.returncode:
                return f"npm ci failed in tests/clients: {ended.stderr[-500:]}"
    return ""


def _installed() -> dict[str, str]:
    record = CLIENTS / "node_modules" / ".package-lock.json"
    return _versions(record) if record.exists() else {}


def _versions(lock: Path) -> dict[str, str]:
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    return {name: package["version"] for name, package in packages.items() if name}
