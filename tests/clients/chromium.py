"""A headless Chromium on one page, ended by its own process id."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    # Without it the process would end as soon as the page has loaded.
    "--remote-debugging-port=0",
)
END_S = 20


def needed() -> str:
    """The browser's path; without one the test is skipped, and in continuous integration fails."""
    found = shutil.which("chromium")
    if found is None:
        reason = "chromium is not installed (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@asynccontextmanager
async def showing(url: str, profile: Path) -> AsyncIterator[None]:
    """Have a browser on a page, with a profile of its own."""
    process = await asyncio.create_subprocess_exec(
        *(needed(), *FLAGS, f"--user-data-dir={profile}", url),
        env=dict(os.environ) | {"HOME": str(profile)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
