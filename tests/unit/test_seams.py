"""Tests stand on public seams alone: `tests/README.md` lists them, and this holds it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SEAMS = set(re.findall(r"^- `(app(?:\.\w+)*)`", (TESTS / "README.md").read_text(), re.MULTILINE))
FILES = sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each import of a file: the module, and the name that is taken from it, or nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def allowed(module: str, name: str) -> bool:
    """Whether it has no underscore in front, and is a seam where it is the service's."""
    parts = [*module.split("."), name]
    if any(part.startswith("_") and not part.startswith("__") for part in parts):
        return False
    return module.partition(".")[0] != "app" or module in SEAMS


def test_the_seams_are_listed() -> None:
    assert {"app.main", "app.server", "app.settings", "app.upstream.sse"} <= SEAMS


@pytest.mark.parametrize("file", FILES)
def test_a_test_imports_public_seams_only(file: str) -> None:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    wrong = [f"{module} {name}" for module, name in imported(tree) if not allowed(module, name)]
    assert wrong == []
