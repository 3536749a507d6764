"""Secrets come from the environment or from files, and are never shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import Settings, SettingsError, load

SECRET = "canary-secret-of-at-least-32-bytes-1"
SECRETS = [
    name.upper()
    for name, field in Settings.model_fields.items()
    if isinstance(field.default, SecretStr)
]
GOOD = {
    "DASHSCOPE_API_KEY": "sk-canary",
    "CLIENT_KEYS": "shop:canary",
    "CLIENT_TOKEN_SECRET": SECRET,
}


@pytest.mark.parametrize("named_by", ["variables", "the env file", "their directory"])
def test_secrets_come_from_files(
    named_by: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = []
    for name, value in GOOD.items():
        file = tmp_path / (name.lower() if named_by == "their directory" else name)
        file.write_text(f"{value}\n", encoding="utf-8")
        lines.append(f"{name}_FILE={tmp_path / name}")
        if named_by == "variables":
            monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
            monkeypatch.setenv(name, "")
    if named_by == "the env file":
        (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
    settings = load(_secrets_dir=tmp_path)
    for name, value in GOOD.items():
        assert getattr(settings, name.lower()).get_secret_value() == value
    assert "canary" not in repr(settings) + str(settings) + str(settings.model_dump())


def test_what_is_set_nearer_to_the_process_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def key() -> str:
        found = load(_secrets_dir=tmp_path, allow_anonymous=True)
        return found.dashscope_api_key.get_secret_value()

    (tmp_path / "dashscope_api_key").write_text("sk-directory", encoding="utf-8")
    assert key() == "sk-directory"
    (tmp_path / ".env").write_text("DASHSCOPE_API_KEY=sk-env-file", encoding="utf-8")
    assert key() == "sk-env-file"
    (tmp_path / "key").write_text("sk-named-file", encoding="utf-8")
    monkeypatch.setenv("DASHSCOPE_API_KEY_FILE", str(tmp_path / "key"))
    assert key() == "sk-named-file"
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-variable")
    assert key() == "sk-variable"


@pytest.mark.parametrize("name", SECRETS)
def test_a_file_that_cannot_be_read_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in ("missing", "binary", "."):
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / path))
        with pytest.raises(SettingsError, match=rf"(?m)^{name}_FILE: .*{path}"):
            load()


def test_an_env_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"X=\xff")
    with pytest.raises(SettingsError, match=r"^\.env\b"):
        load()
