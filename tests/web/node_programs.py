"""Node programs of this folder, with the packages that its lock names, and Chromium for them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.clients import children
from tests.installed import need
from tests.node_packages import need_node
from tests.service import Running, served

HERE = Path(__file__).parent


async def run_node(script: str, **given: Any) -> Any:
    """Run `node/<script>.mjs` with `given` as JSON in its input; gives the JSON that it prints."""
    return await children.run_node(script, given=given, folder=HERE)


async def browse(script: str, **given: Any) -> Any:
    """The same for a program that opens pages."""
    return await run_node(script, chromium=need("chromium"), **given)


async def in_page(site: str, service: Running, program: str, **variables: Any) -> Any:
    """Run a program in a page of the site; what it returns, and what it asked of the service."""
    variables["service"] = service.url
    lines = [f"const {name} = {json.dumps(value)};" for name, value in variables.items()]
    whole = "(async () => {" + "\n".join([*lines, program]) + "})()"
    return await browse("in_page", site=site, program=whole, service=service.url)


async def run_command(*command: str, cwd: Path = HERE) -> str:
    """Run a program to its end, which has to be a good one; gives what it prints."""
    need_node(HERE)
    return await children.run(*command, cwd=cwd)


async def empty_page(_: Request) -> Response:
    return HTMLResponse("<!doctype html><title>A page</title>")


@asynccontextmanager
async def other_site() -> AsyncIterator[str]:
    """A page of another origin, with nothing on it; gives its origin."""
    async with served(Starlette(routes=[Route("/", empty_page)])) as origin:
        yield origin
