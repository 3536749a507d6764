"""Every program in README.md and docs/clients.md is run, or named here with the reason."""

import base64
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from simulator import gallery
from simulator.pictures import PICTURES
from tests.clients.children import CLIENTS, run
from tests.e2e.callers import GUARDED, SHOP_KEY, token
from tests.installed import need
from tests.node_packages import need_node
from tests.service import GALLERY_URL, Running, running
from tests.web.node_programs import HERE, in_page, other_site, run_command, run_node

ROOT = HERE.parent.parent
DOCUMENTS = ("README.md", "docs/clients.md")
ADDRESS = "http://127.0.0.1:8000"
URL = GALLERY_URL + PICTURES[7].name
LIGHTHOUSE = "Lighthouse with red stripes"
BLOCK = re.compile(r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

FUNCTIONS = (
    *("showPicture", "showPictures", "addWords", "showProblem", "showUsage", "showStopped"),
    "askForAnotherToken",
)
"""What the programs call and leave to the reader."""

PRELUDE = (HERE / "node" / "prelude.mjs").read_text(encoding="utf-8")


class Block(NamedTuple):
    """A program in a document: the heading above, its number there, and its text."""

    document: str
    heading: str
    number: int
    text: str


def blocks() -> list[Block]:
    found: list[Block] = []
    for document in DOCUMENTS:
        heading = number = 0
        for title, language, text in BLOCK.findall((ROOT / document).read_text(encoding="utf-8")):
            heading, number = (title, 0) if title else (heading, number + 1)
            if language:
                found.append(Block(document, str(heading or ""), number, text))
    return found


async def shell(block: Block, service: Running, folder: Path) -> str:
    return await run_command("sh", "-ec", filled(block.text, service), cwd=folder)


async def python(block: Block, service: Running, folder: Path) -> str:
    (folder / "program.py").write_text(filled(block.text, service))
    return await run_command(sys.executable, "-W", "ignore", "program.py", cwd=folder)


async def node(block: Block, service: Running, folder: Path) -> str:
    """The program behind a prelude of what it leaves to the reader; prints what it called."""
    need_node(CLIENTS)
    (folder / "node_modules").symlink_to((CLIENTS / "node_modules").resolve())
    functions = "\n".join(f"const {name} = () => called.add('{name}');" for name in FUNCTIONS)
    # Node imports no module from an http address.
    text = filled(re.sub(r"http[^\"]*/client\.js", "imagesearch-client", block.text), service)
    program = f"{PRELUDE}\n{functions}\n{text}\nconsole.log(...called);"
    (folder / "program.mjs").write_text(program)
    env = {"IMAGE_URL": URL, "TOKEN": token()}
    return await run("node", "program.mjs", cwd=folder, env=env)


async def chromium(block: Block, service: Running, folder: Path) -> str:
    """The program in a page of another site, until it shows the usage; what it called."""
    del folder
    functions = [f"const {name} = () => called.push('{name}');" for name in FUNCTIONS]
    ends = functions.index("const showUsage = () => called.push('showUsage');")
    functions[ends] = "const showUsage = () => done([...called, 'showUsage'].join(' '));"
    text = "\n".join([*functions, filled(block.text, service)])
    program = f"return await new Promise((done) => {{ const called = [];\n{text}\n}})"
    given = {"image_url": URL, "prompt": "What is this?", "access_token": token()}
    async with other_site() as site:
        return str((await in_page(site, service, program, **given))["value"])


async def react(block: Block, service: Running, folder: Path) -> str:
    """The component of a program in a page of another site: asked, and read until it has a link."""
    need_node(CLIENTS)
    (folder / "program.jsx").write_text(filled(block.text, service))
    command = ("node", "programs/browser.mjs", "programs/show.jsx")
    picture = base64.b64encode((folder / "photo.jpg").read_bytes()).decode()
    async with other_site() as site:
        env = {"CHROMIUM": need("chromium"), "SITE": site, "FILE": picture, "TOKEN": token()}
        env["UNTIL"] = LIGHTHOUSE
        return await run(*command, f"program={folder / 'program.jsx'}", env=env)


def filled(text: str, service: Running) -> str:
    """A program with what its reader replaces."""
    return (
        text.replace(ADDRESS, service.url)
        .replace("<client key>", SHOP_KEY)
        .replace("a client key", SHOP_KEY)
        .replace("curl ", f"curl -sS --fail-with-body -H 'Authorization: Bearer {SHOP_KEY}' ")
        .replace(f"-H 'Authorization: Bearer {SHOP_KEY}' -H \"Auth", '-H "Auth')
    )


Run = Callable[[Block, Running, Path], Awaitable[str]]

HOW: dict[tuple[str, str, int], tuple[Run, str]] = {
    # how a block is run, and what it then prints or calls
    ("README.md", "Run it for real", 2): (shell, r'"expires_at"'),
    ("README.md", "Search from a page", 1): (node, "showPicture"),
    ("docs/clients.md", "curl", 1): (shell, "search.completed"),
    ("docs/clients.md", "client.js", 1): (node, "showPictures addWords"),
    ("docs/clients.md", "fetch with an upload", 1): (node, r"^\s*$"),
    ("docs/clients.md", "EventSource", 1): (chromium, "showPictures addWords.* showUsage"),
    ("docs/clients.md", "fetch-event-source", 1): (node, "showPictures"),
    ("docs/clients.md", "useChat", 1): (react, LIGHTHOUSE),
    ("docs/clients.md", "openai-python", 1): (python, LIGHTHOUSE),
    ("docs/clients.md", "openai-node", 1): (node, LIGHTHOUSE),
    ("docs/clients.md", "LangChain", 1): (python, LIGHTHOUSE),
}
NOT_RUN = {
    ("README.md", "", 1): "tests/e2e/test_demo.py runs it",
    ("README.md", "Run it for real", 1): "installs, and searches with a key that costs money",
} | {
    ("docs/clients.md", language, 1): "its toolchain is not among the tests' tools"
    for language in ("Swift", "Kotlin", "Dart")
}


@pytest.mark.parametrize("block", blocks(), ids=lambda block: f"{block[0]}-{block[1]}-{block[2]}")
async def test_a_program_in_the_documents_works_as_it_stands(block: Block, tmp_path: Path) -> None:
    key = block[:3]
    if key in NOT_RUN:
        return
    way, expected = HOW[key]
    (tmp_path / "photo.jpg").write_bytes(gallery.jpeg(PICTURES[7].name))
    async with running(**(GUARDED | {"cors_origins": "*"})) as service:
        printed = await way(block, service, tmp_path)
    assert re.search(expected, printed), printed


def test_the_table_names_no_program_that_is_gone() -> None:
    assert {block[:3] for block in blocks()} == {*HOW, *NOT_RUN}


PROMPT = """It's "what" `it` is: $HOME, \\n ${here}?"""


async def test_the_programs_that_the_page_shows_work_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "it's a photo.jpg").write_bytes(gallery.jpeg(PICTURES[7].name))
    (tmp_path / "photo.jpg").write_bytes(gallery.jpeg(PICTURES[7].name))
    filled_in = {"image": URL, "prompt": PROMPT, "model": "qwen3.7-plus", "token": False}
    async with running(cors_origins="*") as service:
        for file in ("it's a photo.jpg", None):
            ways = await run_node("ways", service=service.url, file=file, **filled_in)
            assert "search.completed" in await run_command("sh", "-ec", ways["curl"], cwd=tmp_path)
            block = Block("the page", "client.js", 1, ways["client.js"])
            assert "matched" in await node(block, service, tmp_path)
            (tmp_path / "node_modules").unlink()
            block = Block("the page", "useChat", 1, ways["useChat"])
            assert LIGHTHOUSE in await react(block, service, tmp_path)
        assert ways["EventSource"].startswith("// An EventSource")
        calls = service.record.calls
    assert [call.prompt for call in calls] == [PROMPT, PROMPT]
