"""Where and what was measured: the machine, and the versions of everything compared."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.children import ROOT
from bench.subjects import DEBIAN_PATH, LITELLM_HOME

OURS = (
    "fastapi",
    "httptools",
    "httpx",
    "sse-starlette",
    "starlette",
    "uvicorn",
    "uvloop",
)
LITELLM_VERSION = 'from importlib.metadata import version; print(version("litellm"))'


def machine() -> dict[str, Any]:
    """Processor, cores, memory, kernel."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": found[1] if found else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(memory[1]) / 1e6, 1) if memory else None,
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions(*, litellm: bool) -> dict[str, str]:
    """What was compared, and what this service and the relay stand on."""
    found = {
        "service": _said(["git", "describe", "--always", "--dirty"]),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "nginx": _said(["nginx", "-v"]).rpartition("/")[2],
    }
    found |= {name: version(name) for name in OURS}
    if litellm:
        found["litellm"] = _said([str(LITELLM_HOME / "bin" / "python"), "-c", LITELLM_VERSION])
    return found


def _said(command: list[str]) -> str:
    """What a command prints, or that it cannot be asked."""
    env = {"PATH": f"{os.environ.get('PATH', '')}:{DEBIAN_PATH}"}
    try:
        told = subprocess.run(  # noqa: S603 - the command is made here, not read
            command, capture_output=True, text=True, check=True, cwd=ROOT, env=env
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (told.stdout or told.stderr).strip()
