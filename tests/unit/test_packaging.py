"""What the container image and the compose file promise, checked without an engine."""

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
COMPOSE: dict[str, dict[str, Any]] = yaml.safe_load(
    (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
)
SERVICES = COMPOSE["services"]
SETTINGS = {name.upper() for name in Settings.model_fields}
PUBLISHED = {
    "service": ["127.0.0.1:8000:8000"],
    "dashscope": ["127.0.0.1:8001:8000"],
    "gateway": ["127.0.0.1:8002:8080"],
    "simulator": ["127.0.0.1:9000:9000"],
}


@dataclass
class Stage:
    """One FROM of the Dockerfile and the instructions below it, continuation lines joined."""

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
            found[name] = stage = Stage(list(found[image].lines) if image in found else [])
        elif instruction and found:
            stage.lines.append((instruction, rest.strip()))
    return found


STAGES = stages()


def run(*command: str | Path, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **how)


def test_the_dockerfile_has_no_lint() -> None:
    found = run(Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile")
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_the_service_is_the_default_holds_no_stand_in_and_nothing_unlocked_is_installed() -> None:
    assert list(STAGES)[-1] == "service"
    assert [source for source, _ in STAGES["service"].copies()] == ["app"]
    for builder in ("builder", "builder-simulator"):
        (install,) = STAGES[builder].all("RUN")
        lock = f"/locks/requirements{builder.removeprefix('builder')}.lock"
        assert {"--require-hashes", "--only-binary=:all:", lock} <= set(install.split())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["service", "simulator"])
def test_an_images_command_serves_is_healthy_and_ends_well(name: str, tmp_path: Path) -> None:
    stage = STAGES[name]
    for source, target in stage.copies():
        shutil.copytree(ROOT / source, tmp_path / Path(target).name)
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

    def moved(instruction: str) -> list[str]:
        program, *words = stage.words(instruction)
        assert program == "python"
        here = (word.replace("9000", port).replace("0.0.0.0", "127.0.0.1") for word in words)
        return [sys.executable, *here]

    def healthy() -> bool:
        return run(*moved("HEALTHCHECK"), env=environment, cwd=tmp_path).returncode == 0

    with subprocess.Popen(moved("CMD"), env=environment, cwd=tmp_path) as process:
        try:
            while not healthy():
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert not healthy()


@pytest.mark.parametrize("name", SERVICES)
def test_compose_runs_each_container_checked_and_without_what_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "ulimits"} <= service.keys()
    assert "privileged" not in service
    assert service.get("ports", []) == PUBLISHED.get(name, [])
    if "build" not in service:
        assert int(service["user"].partition(":")[0]) > 0
        return
    target, port = ("simulator", "9000") if name == "simulator" else ("service", "8000")
    assert service["build"]["target"] == target
    assert "volumes" not in service
    *command, code = service["healthcheck"]["test"]
    assert command == ["CMD", "python", "-c"]
    compile(code, name, "exec")
    assert port in code


def test_compose_sets_only_what_is_a_setting_and_lets_running_searches_end() -> None:
    for service in SERVICES.values():
        if given := service.get("environment"):
            assert {key.removesuffix("_FILE") for key in given} <= SETTINGS
            grace_s = float(service["stop_grace_period"].removesuffix("s"))
            assert grace_s > float(given["SHUTDOWN_GRACE_S"]) + 10


def test_compose_asks_the_stand_in_by_default_and_hands_a_real_key_over_as_a_file() -> None:
    by_default = {name for name, each in SERVICES.items() if "profiles" not in each}
    assert by_default == {"service", "simulator"}
    asked = SERVICES["service"]["environment"]["DASHSCOPE_BASE_URL"]
    assert asked == "http://simulator:9000/compatible-mode/v1"
    paid = SERVICES["dashscope"]
    (secret,) = paid["secrets"]
    assert paid["environment"]["DASHSCOPE_API_KEY_FILE"] == f"/run/secrets/{secret}"
    assert "DASHSCOPE_API_KEY" not in paid["environment"]
    assert set(COMPOSE["secrets"][secret]) == {"file"}


def test_compose_puts_the_shipped_nginx_in_front_of_both_replicas(tmp_path: Path) -> None:
    text = SERVICES["gateway"]["command"][-1].replace("$$", "$")
    text = text.replace("replica-a", "127.0.0.1").replace("replica-b", "127.0.0.2")
    text = text.replace("/srv/nginx.conf", f"{ROOT}/deploy/nginx.conf")
    text = text.replace("/tmp/", f"{tmp_path}/").replace("exec nginx", "exec nginx -t")
    if not shutil.which("nginx") and os.environ.get("CI") != "true":
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    tried = run("sh", "-ec", text)
    assert "test is successful" in tried.stderr, tried.stderr
    written = (tmp_path / "imagesearch.conf").read_text()
    assert "server 127.0.0.1:8000; server 127.0.0.2:8000;" in written
    assert "listen 8080;" in written
    assert "/var/log" not in written
