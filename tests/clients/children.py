"""Programs as child processes: started with a clean environment, ended by their pid."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.node_packages import need_node

CLIENTS = Path(__file__).parent
GUARD_S = 240
"""Of real time; a program that takes longer hangs."""
PIPE = asyncio.subprocess.PIPE
NOTHING: Mapping[str, str] = {}


@asynccontextmanager
async def started(
    *command: str, cwd: Path = CLIENTS, env: Mapping[str, str] = NOTHING
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program, for `GUARD_S` at most; it sees PATH, HOME and `env` alone."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd=cwd,
        env=kept | {"NO_PROXY": "*", "PYTHONWARNINGS": "ignore"} | dict(env),
    )
    try:
        async with asyncio.timeout(GUARD_S):
            yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def run(*command: str, given: str = "", **options: Any) -> str:
    """Run a program, as `started` does, to its end, which has to be good; gives what it prints."""
    async with started(*command, **options) as child:
        out, err = await child.communicate(given.encode())
    assert child.returncode == 0, f"{out.decode()[-2000:]}\n{err.decode()[-4000:]}"
    return out.decode()


async def run_node(
    script: str,
    *arguments: str,
    given: Any = None,
    folder: Path = CLIENTS,
    env: Mapping[str, str] = NOTHING,
) -> Any:
    """Run `node/<script>.mjs` with `given` as JSON in its input; gives the JSON that it prints."""
    need_node(folder)
    command = ("node", f"node/{script}.mjs", *arguments)
    return json.loads(await run(*command, given=json.dumps(given), cwd=folder, env=env))


async def upstream_calls(url: str, prompt: str) -> list[dict[str, Any]]:
    """The calls of the stand-in at `url` that a question has led to, as soon as none is open."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        while (record := (await http.get("/record?last=1000")).json())["open"]:
            pass
    return [call for call in record["calls"] if call["prompt"] == prompt]
