"""What Dockerfile and compose file promise, as far as it shows without an engine."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.installed import need

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


def run(*command: str | Path, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **how)


def test_the_dockerfile_has_no_lint() -> None:
    found = run(Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile")
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


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
    nginx = need("nginx", package="nginx-light")
    text = SERVICES["gateway"]["command"][-1].replace("$$", "$")
    text = text.replace("replica-a", "127.0.0.1").replace("replica-b", "127.0.0.2")
    text = text.replace("/srv/nginx.conf", f"{ROOT}/deploy/nginx.conf")
    text = text.replace("/tmp/", f"{tmp_path}/").replace("exec nginx", f"exec {nginx} -t")
    tried = run("sh", "-ec", text)
    assert "test is successful" in tried.stderr, tried.stderr
    written = (tmp_path / "imagesearch.conf").read_text()
    assert "server 127.0.0.1:8000; server 127.0.0.2:8000;" in written
    assert "listen 8080;" in written
    assert "/var/log" not in written
