"""What the container image, the compose file and make promise, checked without an engine."""

import fnmatch
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.unit.dockerfile import ROOT, Stage, stages

STAGES = stages()
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
BASE_LINE = re.compile(r"ARG BASE=python:3\.\d+-slim-trixie(@sha256:[0-9a-f]{64})?")
FINAL = ("service", "simulator")
POLL_S = 0.05
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

NO_TEMPORARY_FILES = """
import tempfile
tempfile.tempdir = "/nonexistent"
"""
"""A `sitecustomize` that leaves Python without a directory for temporary files."""


@pytest.fixture(params=FINAL)
def stage(request: pytest.FixtureRequest) -> Stage:
    return STAGES[request.param]


def test_the_dockerfile_has_no_lint() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    found = subprocess.run(
        [linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_dependencies_come_from_the_locks_by_hash_and_without_a_compiler() -> None:
    for builder, lock in (
        ("builder", "requirements.lock"),
        ("builder-simulator", "requirements-simulator.lock"),
    ):
        (run,) = STAGES[builder].all("RUN")
        assert {"--require-hashes", "--only-binary=:all:", f"/locks/{lock}"} <= set(run.split())


def test_the_service_is_the_default_image_and_every_stage_has_the_same_slim_python() -> None:
    assert list(STAGES)[-1] == "service"
    assert {each.image for each in STAGES.values()} == {"${BASE}"}
    assert BASE_LINE.fullmatch(DOCKERFILE.split("\n\n")[0].splitlines()[-1])


@pytest.mark.parametrize("said", [f"sha256:{'0a' * 32}", "", "unauthorized"])
def test_make_pins_the_base_to_a_digest_that_was_read_and_to_no_other(
    said: str, tmp_path: Path
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho "{said}"\n')
    docker.chmod(0o755)
    for name in ("Makefile", "Dockerfile"):
        shutil.copy(ROOT / name, tmp_path)
    made = _make(tmp_path, "base-digest", f"DOCKER={docker}")
    written = (tmp_path / "Dockerfile").read_text(encoding="utf-8")
    tag = DOCKERFILE.partition("ARG BASE=")[2].partition("\n")[0].partition("@")[0]
    assert (tmp_path / "asked").read_text().split()[-1] == tag
    if said.startswith("sha256:"):
        assert f"\nARG BASE={tag}@{said}\n" in written
    else:
        assert (made.returncode != 0, written) == (True, DOCKERFILE)
        assert "the Dockerfile is as it was" in made.stderr


def test_final_images_run_python_alone_as_a_numbered_user_who_is_not_root(stage: Stage) -> None:
    hidden = ['chmod 0711 "$(readlink -f "$(command -v python)")"']
    assert stage.all("RUN") == (hidden if stage.name == "service" else [])
    (user,) = stage.all("USER")
    assert all(int(part) >= 1000 for part in user.split(":"))
    assert stage.all("STOPSIGNAL") == ["SIGTERM"]
    assert stage.command()[:2] == ["python", "-m"]
    assert stage.healthcheck()[:2] == ["python", "-c"]
    assert stage.environment()["PYTHONUNBUFFERED"] == "1"


def test_the_service_image_listens_on_all_addresses_and_holds_no_stand_in() -> None:
    environment = STAGES["service"].environment()
    assert environment["HOST"] == "0.0.0.0"
    assert STAGES["service"].all("EXPOSE") == [environment["PORT"]]
    assert [source for source, _ in STAGES["service"].copies()] == ["app"]


def test_whatever_is_copied_exists_and_is_not_ignored() -> None:
    for each in STAGES.values():
        for source, _ in each.copies():
            assert (ROOT / source).exists(), source
            assert not ignored(source), f"{source} is hidden by .dockerignore"


@pytest.mark.parametrize(
    "path", [".env", ".git", ".venv", "tests", "secrets/dashscope_api_key", "app/__pycache__"]
)
def test_what_images_must_not_hold_is_ignored(path: str) -> None:
    assert ignored(path)


@pytest.mark.timeout(60)
def test_the_service_image_s_command_serves_is_healthy_and_ends_well(tmp_path: Path) -> None:
    given = {
        "ALLOW_ANONYMOUS": "true",
        "DASHSCOPE_API_KEY": "sk-made-up",
        "DASHSCOPE_BASE_URL": "http://127.0.0.1:9/compatible-mode/v1",
        "HOST": "127.0.0.1",
    }
    _serves(STAGES["service"], tmp_path, given=given, path="/readyz")


@pytest.mark.timeout(60)
def test_the_stand_in_image_s_command_serves_is_healthy_and_ends_well(tmp_path: Path) -> None:
    _serves(STAGES["simulator"], tmp_path, given={}, path="/gallery/")


def test_compose_builds_the_images_of_the_dockerfile() -> None:
    targets = {name: service["build"]["target"] for name, service in SERVICES.items()}
    assert targets == {"service": "service", "dashscope": "service", "simulator": "simulator"}


@pytest.mark.parametrize("name", SERVICES)
def test_compose_takes_from_each_container_what_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 1_000
    assert service["ulimits"] == {"nofile": 16_384, "core": 0}
    assert "volumes" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_compose_checks_each_container_s_health_where_it_listens(name: str) -> None:
    command, python, flag, code = SERVICES[name]["healthcheck"]["test"]
    assert (command, python, flag) == ("CMD", "python", "-c")
    compile(code, name, "exec")
    inside = SERVICES[name]["ports"][0].rpartition(":")[2]
    assert inside in code


@pytest.mark.parametrize("name", ["service", "dashscope"])
def test_compose_lets_running_searches_end(name: str) -> None:
    service = SERVICES[name]
    drain_s = float(service["environment"]["SHUTDOWN_GRACE_S"])
    assert float(service["stop_grace_period"].removesuffix("s")) > drain_s + 10


@pytest.mark.parametrize("name", ["service", "dashscope"])
def test_compose_sets_only_what_is_a_setting(name: str) -> None:
    environment = {key.removesuffix("_FILE") for key in SERVICES[name]["environment"]}
    assert environment <= {field.upper() for field in Settings.model_fields}
    assert SERVICES[name]["environment"]["HOST"] == "0.0.0.0"


def test_compose_starts_the_service_with_the_stand_in_unless_asked() -> None:
    assert {name for name, each in SERVICES.items() if "profiles" not in each} == set(FINAL)
    assert SERVICES["dashscope"]["profiles"] == ["dashscope"]
    waits = SERVICES["service"]["depends_on"]
    assert waits == {"simulator": {"condition": "service_healthy"}}
    environment = SERVICES["service"]["environment"]
    assert environment["ALLOW_ANONYMOUS"] == "true"
    assert environment["DASHSCOPE_BASE_URL"] == "http://simulator:9000/compatible-mode/v1"
    command = SERVICES["simulator"]["command"]
    assert command[: len(STAGES["simulator"].command())] == STAGES["simulator"].command()
    published = SERVICES["simulator"]["ports"][0].rpartition(":")[0]
    assert command[-2:] == ["--public-url", f"http://{published}"]


def test_compose_publishes_each_port_once_and_on_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.rpartition(":")[0] for port in ports}) == len(ports)


def test_compose_hands_the_real_key_over_as_a_file_and_never_in_the_environment() -> None:
    service = SERVICES["dashscope"]
    (secret,) = service["secrets"]
    assert service["environment"]["DASHSCOPE_API_KEY_FILE"] == f"/run/secrets/{secret}"
    assert "DASHSCOPE_API_KEY" not in service["environment"]
    assert set(COMPOSE["secrets"][secret]) == {"file"}


def test_make_tells_a_python_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\ncase $1 in -V) echo Python 3.10.1;; *) exit 1;; esac\n")
    old.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements-dev.lock").touch()
    made = _make(tmp_path, "install", f"PYTHON={old}")
    assert made.returncode != 0
    assert f"{old} is Python 3.10.1, and 3.11 or newer is needed" in made.stderr


def test_make_lists_its_targets_when_none_is_named() -> None:
    listed = {line.split()[0] for line in _make(ROOT).stdout.splitlines()}
    assert {"install", "check", "test", "demo", "lock", "clean"} <= listed


def test_continuous_integration_calls_the_targets_that_developers_call() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in script
    assert re.findall(r"^make (check|test)$", script, re.MULTILINE) == ["check", "test"]


def ignored(path: str) -> bool:
    """What .dockerignore says of a path and its folders; the last pattern that fits wins."""
    said = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        patterns = {pattern, pattern.removeprefix("**/")}
        if any(fnmatch.fnmatch(each, one) for each in above for one in patterns):
            said = not line.startswith("!")
    return said


def _serves(stage: Stage, scratch: Path, *, given: dict[str, str], path: str) -> None:
    """Run the stage's CMD on what it copies, ask its HEALTHCHECK, and stop it."""
    for source, target in stage.copies():
        aside = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / source, scratch / Path(target).name, ignore=aside)
    (scratch / "sitecustomize.py").write_text(NO_TEMPORARY_FILES, encoding="utf-8")
    port = _free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **{name: value for name, value in stage.environment().items() if name != "PATH"},
        **given,
        "PORT": str(port),
        "PYTHONPATH": str(scratch),
    }
    command = [_moved(word, port) for word in stage.command()]
    check = [_moved(word, port) for word in stage.healthcheck()]
    with _process(command, environment, scratch) as process:
        _until_it_answers(process, port, path)
        assert subprocess.run(check, env=environment, cwd=scratch, check=False).returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert subprocess.run(
        check, env=environment, cwd=scratch, check=False, stderr=subprocess.DEVNULL
    ).returncode
    assert not list(scratch.rglob("__pycache__"))


def _moved(word: str, port: int) -> str:
    if word == "python":
        return sys.executable
    return word.replace("9000", str(port)).replace("0.0.0.0", "127.0.0.1")


@contextmanager
def _process(
    command: list[str], environment: dict[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, env=environment, cwd=folder) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _until_it_answers(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    while process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            assert connection.getresponse().status == 200
        except ConnectionRefusedError:
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_S)
        else:
            connection.close()
            return
    pytest.fail(f"ended with {process.returncode} before it answered")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
