"""Tests stand on public seams alone: `tests/README.md` lists them, and this holds it."""

import ast
import re
from pathlib import Path

from tests.unit.imports import imports

TESTS = Path(__file__).parents[1]
SEAMS = set(re.findall(r"^- `(app(?:\.\w+)*)`", (TESTS / "README.md").read_text(), re.MULTILINE))


def allowed(name: str) -> bool:
    """Whether it has no underscore in front, and is of a seam where it is the service's."""
    if any(part.startswith("_") and not part.startswith("__") for part in name.split(".")):
        return False
    return name.partition(".")[0] != "app" or name in SEAMS or name.rpartition(".")[0] in SEAMS


def test_tests_import_public_seams_only() -> None:
    assert {"app.main", "app.server", "app.settings", "app.upstream.sse"} <= SEAMS
    wrong = [
        f"{file}: {name}"
        for file in sorted(TESTS.rglob("*.py"))
        for _, name in imports(file, ast.parse(file.read_text(encoding="utf-8")))
        if not allowed(name)
    ]
    assert wrong == []
