"""How the SDK tests come by Node, and what they do where there is none."""

import json
from collections.abc import Iterator

import pytest

from tests.sdk import children


@pytest.fixture
def without_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    children.why_no_node.cache_clear()
    monkeypatch.setenv("PATH", "/nonexistent")
    yield
    children.why_no_node.cache_clear()


@pytest.mark.usefixtures("without_node")
def test_without_node_a_test_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="node and npm"):
        children.need_node()


@pytest.mark.usefixtures("without_node")
def test_on_ci_the_same_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="node and npm"):
        children.need_node()


def test_the_lock_has_versions_and_hashes_and_no_download_addresses() -> None:
    lock = json.loads((children.SDK / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    for name, package in packages.items():
        assert package["version"], name
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


def test_every_dependency_is_pinned_and_locked() -> None:
    wanted = json.loads((children.SDK / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((children.SDK / "package-lock.json").read_text(encoding="utf-8"))
    for name, version in wanted["dependencies"].items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
