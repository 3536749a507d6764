"""`python -m bench.pinned CORE COMMAND…`: become COMMAND, on one core, ended with its parent."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends when the parent has died."""


def main() -> None:
    """Pin this process, then become the command; its process id stays."""
    core, *command = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.execvp(command[0], command)  # noqa: S606 - the bench's own command, on purpose no shell


if __name__ == "__main__":
    main()
