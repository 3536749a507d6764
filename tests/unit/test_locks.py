"""The locks: hashes and versions, the same versions in all of them, and nothing missing."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import NamedTuple

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
    r"(?P<name>[a-z0-9][a-z0-9.-]*)(\[(?P<extras>[a-z0-9,.-]+)\])?==(?P<version>[0-9][A-Za-z0-9.+!]*)"
    r"( ; [^\\]+?)?( --hash=sha256:[0-9a-f]{64})+"
)


class Locked(NamedTuple):
    name: str
    version: Version
    extras: frozenset[str]


def read(lock: str) -> list[Locked]:
    """Every requirement of a lock; fails on a line that is anything else."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    joined = re.sub(r" *\\\n *", " ", text).splitlines()
    found = []
    for line in joined:
        match = LINE.fullmatch(line)
        assert match, f"{lock}: not a version with hashes: {line[:80]}"
        name, version = canonicalize_name(match["name"]), Version(match["version"])
        found.append(Locked(name, version, frozenset((match["extras"] or "").split(","))))
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_the_projects_dependencies_by_hash_within_their_ranges(lock: str) -> None:
    locked = read(lock)
    assert "://" not in (ROOT / lock).read_text(encoding="utf-8")
    for line in DIRECT[lock]:
        wanted = Requirement(line)
        versions = [each.version for each in locked if each.name == canonicalize_name(wanted.name)]
        assert versions, f"{wanted.name} is not in {lock}: run `make lock`"
        assert all(version in wanted.specifier for version in versions), f"{wanted} in {lock}"


@pytest.mark.parametrize("lock", LOCKS)
def test_an_extra_that_a_locked_package_asks_for_is_locked_with_it(lock: str) -> None:
    # Else older versions of pip look for the newest release that has it, and refuse that one.
    locked = {each.name: each.extras for each in read(lock)}
    installed = {canonicalize_name(one.name) for one in metadata.distributions()}
    for name in locked.keys() & installed:
        for line in metadata.requires(name) or []:
            asked = Requirement(line)
            found = locked.get(canonicalize_name(asked.name))
            applies = not asked.marker or asked.marker.evaluate({"extra": ""})
            if found is not None and applies:
                assert asked.extras <= found, f"{name} asks for {asked} and {lock} has no extra"


@pytest.mark.parametrize("lock", LOCKS[:-1])
def test_a_lock_has_the_versions_of_the_one_that_tests_run_with(lock: str) -> None:
    tested = {(each.name, each.version) for each in read("requirements-dev.lock")}
    assert {(each.name, each.version) for each in read(lock)} <= tested


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
