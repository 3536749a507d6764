"""Every setting is where an operator looks for it, with its default and its meaning."""

import re

import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.processes import ROOT

FIELDS = sorted(Settings.model_fields)
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
SOURCE = (ROOT / "app/settings.py").read_text(encoding="utf-8")
COMMENTED = r"(?:    # (?P<above>.+)\n)?    {name}: .+?(?:  # (?P<behind>.+))?\n"


def shown(value: object) -> str:
    """A default as it is written in an environment file."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_has_its_meaning_and_default_where_operators_look(name: str) -> None:
    default = shown(Settings.model_fields[name].default)
    [(above, behind)] = re.findall(COMMENTED.format(name=name), SOURCE)
    meaning = behind or above
    assert meaning.endswith("."), name
    example = f"# {meaning}\n#{name.upper()}={default}\n"
    assert example in EXAMPLE, f"add to .env.example:\n{example}"
    row = f"| `{name.upper()}` | {f'`{default}` ' if default else ''}| {meaning} |"
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert row in text.replace("|  |", "| |"), row


def test_the_example_has_nothing_that_is_no_setting() -> None:
    names = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE)
    assert sorted(names) == sorted(name.upper() for name in FIELDS)
