"""What tests need of the machine: without it they are skipped, and fail on CI."""

import os
import shutil
import sys
from typing import NoReturn

import pytest

reads_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def need(*names: str, package: str = "") -> str:
    """The path of the first of these programs that is installed."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    found = (shutil.which(name, path=path) for name in names)
    reason = f"{names[0]} is not installed (Debian: apt-get install {package or names[0]})"
    return next(filter(None, found), None) or missing(reason)


def missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)
