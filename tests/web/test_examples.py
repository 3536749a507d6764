"""The programs in `examples/`, built and run."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from tests.clients.children import run
from tests.e2e.callers import GUARDED, SHOP_KEY, bearer
from tests.node_packages import need_node
from tests.service import running, served
from tests.web.node_programs import HERE, browse, run_command
from tests.web.test_page import PICTURE, resized

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


FASTAPI = """
from fastapi_app import app
from starlette.testclient import TestClient
print(TestClient(app).post("/api/search-token").text)
"""
EXPRESS = """
console.log = async (url) => {
  const answer = await fetch(`${url}/api/search-token`, { method: "POST" });
  process.stdout.write(await answer.text(), () => process.exit());
};
import("./express.mjs");
"""
NEXTJS = """
import("./nextjs-route.mjs").then(({ POST }) => POST())
  .then((answer) => answer.text()).then(console.log);
"""
CALLED = {
    "fastapi": (sys.executable, "-c", FASTAPI),
    "express": ("node", "-e", EXPRESS),
    "nextjs": ("node", "-e", NEXTJS),
}
"""How the token that a backend mints is printed."""


@pytest.mark.parametrize("backend", CALLED)
async def test_a_backend_mints_a_token_that_may_search(backend: str, tmp_path: Path) -> None:
    need_node(HERE)
    shutil.copytree(EXAMPLES / "tokens", tmp_path, dirs_exist_ok=True)
    (tmp_path / "nextjs-route.js").rename(tmp_path / "nextjs-route.mjs")
    (tmp_path / "node_modules").symlink_to((HERE / "node_modules").resolve())
    async with running(**GUARDED) as service:
        env = {"SERVICE": service.url, "CLIENT_KEY": SHOP_KEY, "PORT": "0"}
        token = (await run(*CALLED[backend], cwd=tmp_path, env=env)).strip()
        assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
        found = await service.http.get("/v1/models", headers=bearer(token))
    assert found.status_code == 200
