"""Imports go down only: the layers of the service, held by reading its source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = (
    {"settings", "errors"},
    {"models", "results", "telemetry", "tracing", "store"},
    {"images", "upstream", "runs", "guards"},
    {"usage"},
    {"search", "responses"},
    {"api"},
    {"main", "server"},
    {"__main__"},
)
LAYER: dict[str, float] = {part: number for number, parts in enumerate(LAYERS) for part in parts}
# Modules that the layout has no place for: each goes when its replacement comes.
LAYER |= dict.fromkeys(("gathered", "silence", "upgrades", "unreadable"), LAYER["settings"])
LAYER |= {"accounts": LAYER["usage"], "outlet": LAYER["api"], "unsent": LAYER["api"]}
LAYER |= {"protocol": LAYER["api"] + 0.5}

ONLY_IN = {
    "httpx": ("app/upstream/",),
    "httptools": ("app/upstream/", "app/upgrades.py"),
    "sse_starlette": ("app/api/",),
    "PIL": ("app/images/",),
    "pillow_heif": ("app/images/",),
}
SERVING_HTTP = {"fastapi", "starlette", "uvicorn", "sse_starlette"}
WITHOUT_HTTP = {"settings", "errors", "models", "results", "guards", "runs", "upstream"}
WITHOUT_HTTP |= {"accounts", "usage", "search", "responses"}


def imported(source: Path, root: Path) -> Iterator[str]:
    """Every name that a file imports, in full."""
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
    """The rule that this import breaks."""
    top, *rest = name.split(".")
    if source.parts[0] == "simulator" or top == "simulator":
        apart = top not in {"app", "simulator"} or top == source.parts[0]
        return None if apart else "the service and its stand-in do not know each other"
    if top in ONLY_IN and not source.as_posix().startswith(ONLY_IN[top]):
        return f"{top} belongs to {ONLY_IN[top]}"
    part = Path(source.parts[1]).stem
    if part in WITHOUT_HTTP and top in SERVING_HTTP:
        return "this layer knows nothing of serving HTTP"
    if top != "app" or not rest or part in ("__init__", rest[0]):
        return None
    if part not in LAYER or rest[0] not in LAYER:
        return "it has no layer yet"
    return None if LAYER[rest[0]] < LAYER[part] else "an import goes down only"


def test_every_import_goes_down() -> None:
    assert breaches(ROOT) == []


def test_every_module_of_the_service_has_its_layer() -> None:
    parts = {path.stem for path in (ROOT / "app").glob("*.py")}
    parts |= {path.parent.name for path in (ROOT / "app").glob("*/*.py")}
    assert parts - {"__init__"} <= set(LAYER)


BROKEN = [
    ("app/models.py", "from app.search import open"),
    ("app/models.py", "from app import telemetry"),
    ("app/runs/run.py", "from ..guards import permit"),
    ("app/runs/run.py", "def late():\n    import app.api.search"),
    ("app/api/ops.py", "import httpx"),
    ("app/guards/keys.py", "from starlette.requests import Request"),
    ("app/images/url.py", "from simulator import gallery"),
    ("app/search.py", "from app.attic import junk"),
    ("simulator/server.py", "from app.models import Event"),
]
KEPT = [
    ("app/main.py", "from app.api import search"),
    ("app/upstream/client.py", "import httpx"),
    ("app/runs/run.py", "from app.runs.log import EventLog\nfrom . import log"),
]


@pytest.mark.parametrize(("where", "line"), BROKEN + KEPT)
def test_an_import_is_a_breach_if_it_breaks_a_rule(tmp_path: Path, where: str, line: str) -> None:
    source = tmp_path / where
    source.parent.mkdir(parents=True)
    source.write_text(line, encoding="utf-8")
    found = [breach.split(" ")[0] for breach in breaches(tmp_path)]
    assert found == ([where] if (where, line) in BROKEN else [])
