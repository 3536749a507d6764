"""What a source file imports, for the tests that hold boundaries, seams and locks."""

import ast
from collections.abc import Iterator
from pathlib import Path


def imports(source: Path, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each imported name and what it stands for, as `source`, from the root, has it."""
    package = source.with_suffix("").parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield one.asname or one.name, one.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            for one in node.names:
                yield one.asname or one.name, f"{module}.{one.name}"
