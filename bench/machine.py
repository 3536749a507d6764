"""The machine, and the versions of what was compared, for the results."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.processes import ROOT
from bench.subjects import LITELLM_HOME

LIBRARIES = ("fastapi", "httptools", "httpx", "sse-starlette", "starlette", "uvicorn", "uvloop")


def machine() -> dict[str, Any]:
    """Processor, cores, kernel."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    kernel = f"{platform.system()} {platform.release()}"
    return {"cpu": cpu and cpu[1], "cores": len(os.sched_getaffinity(0)), "kernel": kernel}


def versions(env: Mapping[str, str]) -> dict[str, str]:
    """The subjects', Python's, and those of the libraries of service and relay."""
    found = {"service": _printed("git", "-C", str(ROOT), "describe", "--always", "--dirty")}
    found |= {"python": platform.python_version(), "nginx": _printed("/usr/sbin/nginx", "-v")}
    found |= {name: version(name) for name in LIBRARIES}
    if env.get("BENCH_LITELLM"):
        found["litellm"] = _printed(str(LITELLM_HOME / "bin" / "litellm"), "--version")
    return found


def _printed(*command: str) -> str:
    """What a command prints, or `unknown`."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (done.stdout or done.stderr).strip().rpartition("/")[2]
