"""What the container image, the compose file and make promise, checked without an engine."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
BASE_LINE = re.compile(r"ARG BASE=python:3\.\d+-slim-trixie(@sha256:[0-9a-f]{64})?")
FINAL = ("service", "simulator")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = {
    name: each
    for name, each in COMPOSE["services"].items()
    if "replicas" not in each.get("profiles", ())
}
NO_TEMPORARY_FILES = 'import tempfile\ntempfile.tempdir = "/nonexistent"\n'


@dataclass
class Stage:
    """One FROM of the Dockerfile and the instructions below it, continuation lines joined."""

    name: str
    image: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.lines if name == instruction]

    def copies(self) -> list[tuple[str, str]]:
        """Source and target of what comes from the checkout, not from another stage."""
        plain = [rest.split() for rest in self.all("COPY") if not rest.startswith("--from")]
        return [(source, words[-1]) for words in plain for source in words[:-1]]

    def environment(self) -> dict[str, str]:
        words = [word for rest in self.all("ENV") for word in shlex.split(rest)]
        return dict(word.split("=", 1) for word in words)

    def words(self, instruction: str) -> list[str]:
        """The command of a CMD or HEALTHCHECK in exec form."""
        (written,) = self.all(instruction)
        words: list[str] = json.loads(written[written.index("[") :])
        return words


def stages() -> dict[str, Stage]:
    """All stages by name; one that builds on another has its instructions first."""
    found: dict[str, Stage] = {}
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            image, _, name = rest.split()
            below = list(found[image].lines) if image in found else []
            found[name] = stage = Stage(name, found[image].image if below else image, below)
        elif instruction and found:
            stage.lines.append((instruction, rest.strip()))
    return found


STAGES = stages()


@pytest.fixture(params=FINAL)
def stage(request: pytest.FixtureRequest) -> Stage:
    return STAGES[request.param]


def run(*command: str | Path, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **how)


def test_the_dockerfile_has_no_lint() -> None:
    found = run(Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile")
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_images_are_slim_python_with_what_the_locks_name_and_the_service_is_the_default() -> None:
    assert list(STAGES)[-1] == "service"
    assert {each.image for each in STAGES.values()} == {"${BASE}"}
    assert BASE_LINE.fullmatch(DOCKERFILE.split("\n\n")[0].splitlines()[-1])
    for builder in ("builder", "builder-simulator"):
        (install,) = STAGES[builder].all("RUN")
        lock = f"/locks/requirements{builder.removeprefix('builder')}.lock"
        assert {"--require-hashes", "--only-binary=:all:", lock} <= set(install.split())


@pytest.mark.parametrize("said", [f"sha256:{'0a' * 32}", "", "unauthorized"])
def test_make_pins_the_base_to_a_digest_that_was_read_and_to_no_other(
    said: str, tmp_path: Path
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "{said}"\n')
    docker.chmod(0o755)
    for name in ("Makefile", "Dockerfile"):
        shutil.copy(ROOT / name, tmp_path)
    made = run("make", "base-digest", f"DOCKER={docker}", cwd=tmp_path)
    written = (tmp_path / "Dockerfile").read_text(encoding="utf-8")
    tag = DOCKERFILE.partition("ARG BASE=")[2].partition("\n")[0].partition("@")[0]
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
    assert stage.environment()["PYTHONUNBUFFERED"] == "1"


def test_the_service_image_listens_on_all_addresses_and_holds_no_stand_in() -> None:
    environment = STAGES["service"].environment()
    assert environment["HOST"] == "0.0.0.0"
    assert STAGES["service"].all("EXPOSE") == [environment["PORT"]]
    assert [source for source, _ in STAGES["service"].copies()] == ["app"]


def test_whatever_is_copied_exists_and_only_what_must_not_be_is_ignored() -> None:
    for source, _ in (copy for each in STAGES.values() for copy in each.copies()):
        assert (ROOT / source).exists(), source
        assert not ignored(source), f"{source} is hidden by .dockerignore"
    for kept_out in (".env", ".git", ".venv", "tests", "secrets/x", "app/__pycache__"):
        assert ignored(kept_out), kept_out


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


@pytest.mark.timeout(60)
def test_an_images_command_serves_is_healthy_and_ends_well(stage: Stage, tmp_path: Path) -> None:
    for source, target in stage.copies():
        aside = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / source, tmp_path / Path(target).name, ignore=aside)
    (tmp_path / "sitecustomize.py").write_text(NO_TEMPORARY_FILES, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    environment = stage.environment() | {
        "ALLOW_ANONYMOUS": "true",
        "DASHSCOPE_API_KEY": "sk-made-up",
        "DASHSCOPE_BASE_URL": "http://127.0.0.1:9/compatible-mode/v1",
        "HOST": "127.0.0.1",
        "PORT": port,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
    }

    def moved(words: list[str]) -> list[str]:
        assert words[0] == "python"
        here = (word.replace("9000", port).replace("0.0.0.0", "127.0.0.1") for word in words[1:])
        return [sys.executable, *here]

    def healthy() -> bool:
        return (
            run(*moved(stage.words("HEALTHCHECK")), env=environment, cwd=tmp_path).returncode == 0
        )

    with subprocess.Popen(moved(stage.words("CMD")), env=environment, cwd=tmp_path) as process:
        try:
            while not healthy():
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert not healthy()
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.parametrize("name", SERVICES)
def test_compose_runs_each_image_checked_and_without_what_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["build"]["target"] == ("simulator" if name == "simulator" else "service")
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "volumes"} & service.keys()
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 1_000
    assert service["ulimits"] == {"nofile": 16_384, "core": 0}
    *command, code = service["healthcheck"]["test"]
    assert command == ["CMD", "python", "-c"]
    compile(code, name, "exec")
    (published,) = service["ports"]
    assert published.startswith("127.0.0.1:")
    assert published.rpartition(":")[2] in code


@pytest.mark.parametrize("name", ["service", "dashscope"])
def test_compose_sets_only_what_is_a_setting_and_lets_running_searches_end(name: str) -> None:
    given = SERVICES[name]["environment"]
    settings = {field.upper() for field in Settings.model_fields}
    assert {key.removesuffix("_FILE") for key in given} <= settings
    assert given["HOST"] == "0.0.0.0"
    drain_s = float(given["SHUTDOWN_GRACE_S"])
    assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) > drain_s + 10


def test_compose_starts_the_service_with_the_stand_in_unless_asked() -> None:
    assert {name for name, each in SERVICES.items() if "profiles" not in each} == set(FINAL)
    assert SERVICES["dashscope"]["profiles"] == ["dashscope"]
    waits = SERVICES["service"]["depends_on"]
    assert waits == {"simulator": {"condition": "service_healthy"}}
    environment = SERVICES["service"]["environment"]
    assert environment["ALLOW_ANONYMOUS"] == "true"
    assert environment["DASHSCOPE_BASE_URL"] == "http://simulator:9000/compatible-mode/v1"
    published = [each["ports"][0].rpartition(":")[0] for each in SERVICES.values()]
    assert len(set(published)) == len(SERVICES)
    public = f"http://{SERVICES['simulator']['ports'][0].rpartition(':')[0]}"
    asked = [*STAGES["simulator"].words("CMD"), "--public-url", public]
    assert SERVICES["simulator"]["command"] == asked


def test_compose_hands_the_real_key_over_as_a_file_and_never_in_the_environment() -> None:
    service = SERVICES["dashscope"]
    (secret,) = service["secrets"]
    assert service["environment"]["DASHSCOPE_API_KEY_FILE"] == f"/run/secrets/{secret}"
    assert "DASHSCOPE_API_KEY" not in service["environment"]
    assert set(COMPOSE["secrets"][secret]) == {"file"}


def test_make_lists_its_targets_and_tells_a_python_that_is_too_old(tmp_path: Path) -> None:
    listed = {line.split()[0] for line in run("make", "-s", cwd=ROOT).stdout.splitlines()}
    assert {"install", "check", "test", "demo", "lock", "clean"} <= listed
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\ncase $1 in -V) echo Python 3.10.1;; *) exit 1;; esac\n")
    old.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements-dev.lock").touch()
    made = run("make", "install", f"PYTHON={old}", cwd=tmp_path)
    assert made.returncode != 0
    assert f"{old} is Python 3.10.1, and 3.11 or newer is needed" in made.stderr


def test_continuous_integration_calls_the_targets_that_developers_call() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in script
    assert re.findall(r"^make (check|test)$", script, re.MULTILINE) == ["check", "test"]
