"""`make types`: prints the browser client's types, made from the OpenAPI document."""

import json
import subprocess
import sys
from pathlib import Path

from app.main import create_app
from app.settings import load

HERE = Path(__file__).parent
DECLARATIONS = HERE.parent.parent / "app" / "web" / "client.d.ts"


def document() -> str:
    """The OpenAPI document, in JSON."""
    settings = load(allow_anonymous=True, dashscope_api_key="sk-not-used-here", _env_file=None)
    return json.dumps(create_app(settings).openapi())


def declarations() -> str:
    """The text of `client.d.ts`. Needs Node and what `package.json` names."""
    command = ["node", "types/make.mjs"]
    made = subprocess.run(
        command, cwd=HERE, input=document(), stdout=subprocess.PIPE, text=True, check=True
    )
    return made.stdout


if __name__ == "__main__":
    sys.stdout.write(declarations())
