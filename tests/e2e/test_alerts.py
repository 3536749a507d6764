"""The alerts: valid, firing in their tests, and in the runbook."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.installed import need

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
OPERATIONS = (DEPLOY.parent / "docs" / "operations.md").read_text(encoding="utf-8")
PROMTOOL = need("promtool", package="prometheus")


@pytest.mark.parametrize("command", ["check rules alerts.yaml", "test rules alerts.test.yaml"])
def test_the_alerts_are_valid_and_fire_when_they_should(command: str) -> None:
    called = (PROMTOOL, *command.split())
    ended = subprocess.run(called, cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", [rule["alert"] for rule in ALERTS])
def test_an_alert_is_tested_and_has_its_place_in_the_runbook(name: str) -> None:
    tests = yaml.safe_load((DEPLOY / "alerts.test.yaml").read_text(encoding="utf-8"))["tests"]
    checks = [one for test in tests for one in test["alert_rule_test"] if one["alertname"] == name]
    assert {bool(check["exp_alerts"]) for check in checks} == {True, False}
    assert f"| `{name}` |" in OPERATIONS
