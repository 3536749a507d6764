"""Secrets come from the environment or from files, and are never shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import Settings, SettingsError, load

SECRETS = [
    name.upper()
    for name, field in Settings.model_fields.items()
    if isinstance(field.default, SecretStr)
]
GOOD = {
    "DASHSCOPE_API_KEY": "sk-canary",
    "CLIENT_KEYS": "shop:canary",
    "CLIENT_TOKEN_SECRET": "canary-secret-of-at-least-32-bytes-1",
}


def test_secrets_come_from_files_and_are_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in GOOD.items():
        (tmp_path / name.lower()).write_text(f"{value}\n", encoding="utf-8")
    found = [load(_secrets_dir=tmp_path)]
    named = {f"{name}_FILE": str(tmp_path / name.lower()) for name in GOOD}
    lines = [f"{variable}={path}" for variable, path in named.items()]
    (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
    found.append(load())
    (tmp_path / ".env").unlink()
    for variable, path in named.items():
        monkeypatch.setenv(variable, path)
        monkeypatch.setenv(variable.removesuffix("_FILE"), "")
    for settings in (*found, load()):
        values = {name: getattr(settings, name.lower()).get_secret_value() for name in GOOD}
        assert values == GOOD
        assert "canary" not in repr(settings) + str(settings) + str(settings.model_dump())


def test_what_is_set_in_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sk-from-the-named-file", encoding="utf-8")
    (tmp_path / "dashscope_api_key").write_text("sk-from-the-directory", encoding="utf-8")
    env_file = tmp_path / ".env"
    env_file.write_text("DASHSCOPE_API_KEY=sk-from-env-file\nALLOW_ANONYMOUS=1", encoding="utf-8")
    found = []
    for name, value in ((None, ""), ("_FILE", str(tmp_path / "key")), ("", "sk-from-environment")):
        if name is not None:
            monkeypatch.setenv(f"DASHSCOPE_API_KEY{name}", value)
        found.append(load(_secrets_dir=tmp_path).dashscope_api_key.get_secret_value())
    assert found == ["sk-from-env-file", "sk-from-the-named-file", "sk-from-environment"]
    env_file.unlink()
    for name in ("DASHSCOPE_API_KEY", "DASHSCOPE_API_KEY_FILE"):
        monkeypatch.delenv(name)
    last = load(_secrets_dir=tmp_path, allow_anonymous=True).dashscope_api_key
    assert last.get_secret_value() == "sk-from-the-directory"


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
