import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ca_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of a private authority for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", "key.pem", "-out", "ca.pem"]
    subprocess.run([*command.split(), *names, *files], check=True, cwd=folder, capture_output=True)
    return folder / "ca.pem", folder / "key.pem"
