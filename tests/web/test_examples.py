"""The programs in `examples/`, built and run."""

import importlib.util
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from tests.clients.children import started
from tests.e2e.callers import GUARDED, SHOP_KEY, bearer
from tests.node_packages import need_node
from tests.service import running, served
from tests.web.node_programs import HERE, browse, run_command
from tests.web.test_page import PICTURE, resized

Backend = Callable[[str, pytest.MonkeyPatch, Path], AbstractAsyncContextManager[str]]

EXAMPLES = HERE.parent.parent / "examples"


async def test_the_react_app_is_built_and_shows_cards_and_answer(tmp_path: Path) -> None:
    need_node(HERE)
    app = tmp_path / "react"
    shutil.copytree(EXAMPLES / "react", app, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (app / "node_modules").symlink_to((HERE / "node_modules").resolve())
    async with running(cors_origins="*") as service:
        (app / ".env").write_text(f"VITE_SERVICE={service.url}\n")
        await run_command("node", "node_modules/vite/bin/vite.js", "build", cwd=app)
        files = StaticFiles(directory=app / "dist", html=True)
        async with served(Starlette(routes=[Mount("/", files)])) as site:
            found = await browse("react", app=f"{site}/", file=resized())
    assert found["titles"][0].strip() == PICTURE.title
    assert PICTURE.title in found["text"]
    assert found["complaints"] == []


@asynccontextmanager
async def fastapi(service: str, monkeypatch: pytest.MonkeyPatch, _: Path) -> AsyncIterator[str]:
    monkeypatch.setenv("SERVICE", service)
    monkeypatch.setenv("CLIENT_KEY", SHOP_KEY)
    spec = importlib.util.spec_from_file_location(
        "fastapi_app", EXAMPLES / "tokens" / "fastapi_app.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with served(module.app) as url, httpx.AsyncClient() as http:
        yield (await http.post(f"{url}/api/search-token")).text


@asynccontextmanager
async def express(service: str, _: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[str]:
    program = str(shutil.copy(EXAMPLES / "tokens" / "express.mjs", folder))
    (folder / "node_modules").symlink_to((HERE / "node_modules").resolve())
    given = {"SERVICE": service, "CLIENT_KEY": SHOP_KEY, "PORT": "0"}
    async with started("node", program, env=given) as child, httpx.AsyncClient() as http:
        assert child.stdout
        url = (await child.stdout.readline()).decode().strip()
        yield (await http.post(f"{url}/api/search-token")).text


@asynccontextmanager
async def nextjs(service: str, _: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[str]:
    route = folder / "route.mjs"
    shutil.copy(EXAMPLES / "tokens" / "nextjs-route.js", route)
    program = (
        f"process.env.SERVICE = '{service}'; process.env.CLIENT_KEY = '{SHOP_KEY}';"
        f"const {{ POST }} = await import('{route.as_uri()}');"
        "console.log(await (await POST()).text());"
    )
    yield (await run_command("node", "--input-type=module", "-e", program)).strip()


@pytest.mark.parametrize("backend", [fastapi, express, nextjs])
async def test_a_backend_mints_a_token_that_may_search(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    need_node(HERE)
    async with (
        running(**GUARDED) as service,
        backend(service.url, monkeypatch, tmp_path) as token,
    ):
        assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
        found = await service.http.get("/v1/models", headers=bearer(token))
    assert found.status_code == 200
