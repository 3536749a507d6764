"""Every setting is where an operator looks for it, with its default and its meaning."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import Settings

ROOT = Path(__file__).parent.parent
FIELDS = sorted(Settings.model_fields)


def shown(value: object) -> str:
    """A default as it is written in an environment file."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def example(name: str) -> str:
    """The two lines that a setting has in `.env.example`."""
    field = Settings.model_fields[name]
    return f"# {field.description}\n#{name.upper()}={shown(field.default)}\n"


@pytest.mark.parametrize("name", FIELDS)
def test_the_example_has_the_setting_with_its_meaning_and_default(name: str) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert example(name) in text, f"add to .env.example:\n{example(name)}"


def test_the_example_has_nothing_that_is_no_setting() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)
    assert sorted(names) == sorted(name.upper() for name in FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_the_operators_document_names_the_setting(name: str) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"| `{name.upper()}`" in text, f"{name.upper()} is not in docs/operations.md"


def test_every_setting_has_a_meaning_of_one_sentence() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no meaning"
        assert field.description.endswith("."), name
        assert "\n" not in field.description, name
