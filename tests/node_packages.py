"""The npm packages of a folder of tests, installed once as its lock names them."""

import fcntl
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.installed import missing


def need_node(folder: Path) -> None:
    """Skip where Node or the folder's packages cannot be had; fail instead on CI."""
    if reason := _why_not(folder):
        missing(reason)


@cache
def _why_not(folder: Path) -> str:
    if not shutil.which("node") or not shutil.which("npm"):
        return "Node programs need node and npm on the PATH"
    locked = folder / "package-lock.json"
    # One process installs, and others that run tests at the same time wait for it.
    with locked.open(encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _versions(folder / "node_modules" / ".package-lock.json") == _versions(locked):
            return ""
        command = ["npm", "ci", "--no-audit", "--no-fund"]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return f"npm ci failed in {folder}: {ended.stderr[-500:]}" if ended.returncode else ""


def _versions(lock: Path) -> dict[str, str]:
    """What a lock names, without what npm installs on some machines only and what is no package."""
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"] if lock.exists() else {}
    return {
        name: package["version"]
        for name, package in packages.items()
        if name.startswith("node_modules/") and "version" in package and not package.get("optional")
    }
