"""`python -m tests.slow.images.sandbox PYTHON MODULE…`: run a module as in a locked-down container.

The root file system is read-only, `/tmp` and `/dev/shm` too; the user is 10001, without groups and
capabilities, and may not read its program PYTHON, whose mode should be 0711.
"""

import os
import sys
from pathlib import Path

from tests.processes import ROOT

USER = "10001"


def command(program: str, *module: str) -> list[str]:
    """What runs `python -m MODULE…` in there, as root."""
    real = os.path.realpath(sys.executable)
    sandbox = [
        "bwrap",
        "--die-with-parent",
        "--unshare-pid",
        "--unshare-ipc",
        "--ro-bind",
        "/",
        "/",
    ]
    sandbox += [
        "--cap-drop",
        "ALL",
        "--cap-add",
        "CAP_SETUID",
        "--cap-add",
        "CAP_SETGID",
        "--cap-add",
        "CAP_SETPCAP",
    ]
    sandbox += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", str(Path.home())]
    home = Path.home()  # Closed to other users, and the interpreter may be in it.
    for place in (sys.base_prefix, sys.prefix, ROOT):
        path = Path(place).resolve()
        if path.is_relative_to(home):
            for parent in reversed(path.relative_to(home).parents[:-1]):
                sandbox += ["--dir", str(home / parent)]
            sandbox += ["--ro-bind", str(path), str(path)]
    sandbox += ["--ro-bind", program, real, "--chdir", "/"]
    user = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs"]
    user += ["--inh-caps=-all", "--bounding-set=-all"]
    return [*sandbox, *user, sys.executable, "-u", "-m", *module]


if __name__ == "__main__":
    os.execvp("bwrap", command(*sys.argv[1:]))
