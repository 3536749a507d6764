"""Write the project's name and version where `importlib.metadata` looks for them.

`python dist_info.py pyproject.toml`, run by the Python whose packages it joins. The container image
has no build backend, and the code itself lies in its working directory.
"""
# ruff: noqa: INP001 - a program of the image's build, not a package

import sys
import sysconfig
import tomllib
from pathlib import Path


def main(pyproject: str) -> None:
    """Make `NAME-VERSION.dist-info` in this Python's site-packages, as the core metadata has it."""
    project = tomllib.loads(Path(pyproject).read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    folder = f"{name.replace('-', '_')}-{version}.dist-info"
    made = Path(sysconfig.get_path("purelib"), folder)
    made.mkdir()
    fields = {
        "Metadata-Version": "2.4",
        "Name": name,
        "Version": version,
        "Summary": project["description"],
        "License-Expression": project["license"],
        "Requires-Python": project["requires-python"],
    }
    text = "".join(f"{field}: {value}\n" for field, value in fields.items())
    (made / "METADATA").write_text(text, encoding="utf-8")
    (made / "RECORD").write_text(f"{folder}/METADATA,,\n{folder}/RECORD,,\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
