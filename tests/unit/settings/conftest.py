"""No variable and no `.env` of whoever runs the tests."""

import os
from pathlib import Path

import pytest

from app.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().removesuffix("_FILE").lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
