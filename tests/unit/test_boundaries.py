"""What the source may import and inherit: its layers, and only what libraries document."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.imports import imports

ROOT = Path(__file__).parents[2]

LAYERS = (
    {"settings", "errors"},
    {"models", "results", "telemetry", "store"},
    {"images", "upstream", "runs", "guards"},
    {"trace_export"},
    {"tracing"},
    {"service"},
    {"search"},
    {"responses"},
    {"api"},
    {"check"},
    {"main", "server"},
    {"__main__"},
)
"""Lowest first. Modules and packages of one layer do not know one another, except as below."""

LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}
SIDEWAYS = {("results", "models"), ("main", "server")}

ONLY_IN = {
    "httpx": {"upstream"},
    "fastapi": {"api", "main", "server"},
    "starlette": {"api", "main"},
    "uvicorn": {"main", "server"},
    "sse_starlette": {"api"},
    "httptools": {"upstream"},
    "opentelemetry": {"models", "trace_export", "tracing", "main"},
    "PIL": {"images"},
    "pillow_heif": {"images"},
    "simulator": set[str](),
    "redis": {"store"},
    "ctypes": set[str](),
}
"""The parts of the service that may import a library."""

BASES = {
    "httpx.AsyncBaseTransport",
    "httpx.AsyncByteStream",
    "opentelemetry.sdk.trace.sampling.Sampler",
    "pydantic.BaseModel",
    "pydantic.RootModel",
    "pydantic_settings.BaseSettings",
    "pydantic_settings.PydanticBaseSettingsSource",
    "starlette.formparsers.MultiPartParser",
    "starlette.responses.Response",
    "uvicorn.Server",
}
"""Documented to be derived from; of `uvicorn.Server` and the parser one method is used."""


def breaches(root: Path) -> list[str]:
    """Every breach of a boundary in the source, with the file that it is in."""
    return [
        f"{source.relative_to(root).as_posix()}: {breach}"
        for package in ("app", "simulator")
        for source in sorted((root / package).rglob("*.py"))
        for breach in _breaches_of(source.relative_to(root), ast.parse(source.read_text("utf-8")))
    ]


def _breaches_of(source: Path, tree: ast.Module) -> Iterator[str]:
    package, part = source.parts[0], Path(source.parts[1]).stem
    names = dict(imports(source, tree))
    for name in names.values():
        if package == "simulator":
            if name.split(".")[0] == "app":
                yield f"imports {name}: the stand-in knows nothing of the service"
        elif rule := _broken_rule(part, name):
            yield f"imports {name}: {rule}"
    if package == "app":
        yield from _foreign_bases(tree, names)


def _broken_rule(part: str, name: str) -> str | None:
    top, *rest = name.split(".")
    if top in ONLY_IN and part not in ONLY_IN[top]:
        return f"{top} belongs to {', '.join(sorted(ONLY_IN[top])) or 'nobody here'}"
    if top != "app":
        private = any(word.startswith("_") and not word.startswith("__") for word in (top, *rest))
        return "it is private to its library" if private else None
    if not rest or part in {"__init__", rest[0]} or (part, rest[0]) in SIDEWAYS:
        return None
    if part not in LAYER or rest[0] not in LAYER:
        return "it has no layer yet"
    return None if LAYER[rest[0]] < LAYER[part] else "an import goes down only"


def _foreign_bases(tree: ast.Module, names: dict[str, str]) -> Iterator[str]:
    """Bases from libraries that are not among the documented ones."""
    for node in filter(lambda one: isinstance(one, ast.ClassDef), ast.walk(tree)):
        assert isinstance(node, ast.ClassDef)
        for base in node.bases:
            written = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
            first, _, rest = written.partition(".")
            name = ".".join(filter(None, [names.get(first, ""), rest]))
            top = name.partition(".")[0]
            if top in {"", "app"} or top in sys.stdlib_module_names or name in BASES:
                continue
            yield f"class {node.name} derives from {name}"


def test_the_source_keeps_its_boundaries() -> None:
    assert breaches(ROOT) == []


BROKEN = [
    ("app/models.py", "from app.search import Search"),
    ("app/runs/run.py", "from ..guards import rate"),
    ("app/runs/run.py", "def late():\n    import app.api.search"),
    ("app/images/intake.py", "from simulator import gallery"),
    ("app/search.py", "from app.attic import junk"),
    ("app/upstream/client.py", "from httpx import _client"),
    ("app/server.py", "import uvicorn.protocols as x\nclass Own(x.H11Protocol): ..."),
    ("simulator/server.py", "from app.models import Event"),
]


@pytest.mark.parametrize(("where", "text"), BROKEN)
def test_a_breach_is_reported(tmp_path: Path, where: str, text: str) -> None:
    (tmp_path / where).parent.mkdir(parents=True)
    (tmp_path / where).write_text(text, encoding="utf-8")
    assert [breach.split(":")[0] for breach in breaches(tmp_path)] == [where]
