"""Imports go down only: the floors of the service, held by reading its source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (
    {"settings", "errors", "gathered", "silence", "upgrades", "unreadable"},
    {"models", "telemetry"},
    {"images", "upstream", "runs", "guards"},
    {"accounts"},
    {"search", "responses"},
    {"api", "outlet", "unsent"},
    {"protocol"},
    {"main", "server"},
    {"__main__"},
)
FLOOR = {part: number for number, parts in enumerate(FLOORS) for part in parts}
ONLY_IN = {
    "httpx": {
        f"app/upstream/{file}.py"
        for file in ("broken", "client", "http1", "inbox", "pool", "transport")
    },
    "httptools": {"app/upstream/http1.py", "app/upgrades.py"},
    "sse_starlette": {"app/api/sse.py"},
    "simulator": set[str](),
}
HTTP = {"fastapi", "starlette", "uvicorn", "sse_starlette"}
WITHOUT_HTTP = {"settings", "errors", "models", "guards", "runs", "upstream", "accounts"}
WITHOUT_HTTP |= {"search", "responses"}


def imported(source: Path, root: Path) -> Iterator[str]:
    package = source.relative_to(root).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def breaches(root: Path) -> list[str]:
    return [
        f"{source.relative_to(root).as_posix()} imports {name}: {rule}"
        for package in ("app", "simulator")
        for source in sorted((root / package).rglob("*.py"))
        for name in imported(source, root)
        if (rule := broken_rule(source.relative_to(root), name))
    ]


def broken_rule(source: Path, name: str) -> str | None:
    top, *rest = name.split(".")
    if source.parts[0] == "simulator":
        return "the stand-in knows nothing of the service" if top == "app" else None
    if top in ONLY_IN and source.as_posix() not in ONLY_IN[top]:
        return f"{top} belongs to {ONLY_IN[top] or 'the other side of the wire'}"
    part = Path(source.parts[1]).stem
    if part in WITHOUT_HTTP and top in HTTP:
        return "this floor knows nothing of serving HTTP"
    if top != "app" or not rest or part in ("__init__", rest[0]):
        return None
    if part not in FLOOR or rest[0] not in FLOOR:
        return "it has no floor yet"
    return None if FLOOR[rest[0]] < FLOOR[part] else "an import goes down only"


def test_every_import_goes_down() -> None:
    assert breaches(ROOT) == []


def test_every_module_of_the_service_stands_on_a_floor() -> None:
    parts = {path.stem for path in (ROOT / "app").iterdir() if path.suffix == ".py"}
    parts |= {path.parent.name for path in (ROOT / "app").glob("*/*.py")}
    assert parts - {"__init__"} <= set(FLOOR)


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("app/models.py", "from app.search import open"),
        ("app/models.py", "from app import telemetry"),
        ("app/runs/run.py", "from app.guards.permit import Permit"),
        ("app/runs/run.py", "from ..guards import permit"),
        ("app/runs/run.py", "def late():\n    import app.api.search"),
        ("app/search.py", "import httpx"),
        ("app/api/ops.py", "import httpx"),
        ("app/api/search.py", "from sse_starlette import EventSourceResponse"),
        ("app/guards/keys.py", "from starlette.requests import Request"),
        ("app/images/url.py", "from simulator import gallery"),
        ("app/search.py", "from app.attic import junk"),
        ("simulator/server.py", "from app.models import Event"),
    ],
)
def test_an_import_that_does_not_is_told(tmp_path: Path, where: str, line: str) -> None:
    _write(tmp_path, where, line)
    assert [told.split(" ")[0] for told in breaches(tmp_path)] == [where]


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("app/main.py", "from app.api import search"),
        ("app/upstream/client.py", "import httpx"),
        ("app/api/sse.py", "import sse_starlette\nfrom app.runs import log"),
        ("app/runs/run.py", "from app.runs.log import EventLog\nfrom . import log"),
        ("app/__main__.py", "from app.main import create_app"),
    ],
)
def test_an_import_that_does_is_not_told(tmp_path: Path, where: str, line: str) -> None:
    _write(tmp_path, where, line)
    assert breaches(tmp_path) == []


def _write(root: Path, where: str, text: str) -> None:
    (root / where).parent.mkdir(parents=True)
    (root / where).write_text(text, encoding="utf-8")
