"""The locks: hashes and versions, the same versions in all of them, and nothing missing."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.unit.imports import imports

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = {
    "requirements.lock": PROJECT["dependencies"],
    "requirements-otel.lock": EXTRAS["otel"],
    "requirements-simulator.lock": EXTRAS["simulator"],
}
DIRECT["requirements-dev.lock"] = [*chain(*DIRECT.values()), *PYPROJECT["dependency-groups"]["dev"]]
LOCKS = tuple(DIRECT)
PART_OF = {"pydantic-core": "pydantic"}
"""Distributions that another one pins to one version, so that it speaks for both."""

LINE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.-]*)(\[[a-z0-9,.-]+\])?==(?P<version>[0-9][A-Za-z0-9.+!]*)"
    r"( ; [^\\]+?)?( --hash=sha256:[0-9a-f]{64})+"
)


def read(lock: str) -> set[tuple[str, Version]]:
    """Each name and version of a lock; fails on a line that is anything else."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    joined = re.sub(r" *\\\n *", " ", text).splitlines()
    found = set[tuple[str, Version]]()
    for line in joined:
        match = LINE.fullmatch(line)
        assert match, f"{lock}: not a version with hashes: {line[:80]}"
        found.add((canonicalize_name(match["name"]), Version(match["version"])))
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_the_projects_dependencies_by_hash_within_their_ranges(lock: str) -> None:
    locked = read(lock)
    assert "://" not in (ROOT / lock).read_text(encoding="utf-8")
    for line in DIRECT[lock]:
        wanted = Requirement(line)
        versions = [version for name, version in locked if name == canonicalize_name(wanted.name)]
        assert versions, f"{wanted.name} is not in {lock}: run `make lock`"
        assert all(version in wanted.specifier for version in versions), f"{wanted} in {lock}"


@pytest.mark.parametrize("lock", LOCKS[:-1])
def test_a_lock_has_the_versions_of_the_one_that_tests_run_with(lock: str) -> None:
    assert read(lock) <= read("requirements-dev.lock")


@pytest.mark.parametrize(
    ("package", "lock"),
    [("app", "requirements.lock"), ("simulator", "requirements-simulator.lock")],
)
def test_whatever_a_package_imports_is_among_its_own_dependencies(package: str, lock: str) -> None:
    direct = {canonicalize_name(Requirement(line).name) for line in DIRECT[lock]}
    owners = metadata.packages_distributions()
    for source in (ROOT / package).rglob("*.py"):
        for name in _third_party(source) - {package}:
            found = {canonicalize_name(owner) for owner in owners.get(name, [name])}
            owned = {PART_OF.get(owner, owner) for owner in found}
            assert owned & direct, f"{source.relative_to(ROOT)} imports {name}"


def _third_party(source: Path) -> set[str]:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names = (name for _, name in imports(source.relative_to(ROOT), tree))
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names
