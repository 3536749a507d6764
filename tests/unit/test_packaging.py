"""What Dockerfile and compose file promise, as far as it shows without an engine.

`make image-test` builds the image and runs it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = {
    name: each
    for name, each in COMPOSE["services"].items()
    if "replicas" not in each.get("profiles", ())
}


def test_the_dockerfile_has_no_lint() -> None:
    command = [Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_compose_runs_each_image_checked_and_without_what_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["build"]["target"] == ("simulator" if name == "simulator" else "service")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "volumes"} & service.keys()
    assert {"mem_limit", "pids_limit", "ulimits"} <= service.keys()
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
    drain_s = float(given["SHUTDOWN_GRACE_S"])
    assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) > drain_s + 10


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


def test_continuous_integration_calls_the_targets_that_developers_call() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in script
    called = re.findall(r"^make (check|test[a-z-]*)$", script, re.MULTILINE)
    assert called == ["check", "test-clients", "test-slow", "test"]
