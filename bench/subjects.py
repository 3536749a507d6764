"""What is compared: how each subject is started in front of the upstream, and how it is asked."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.answer import MODEL
from bench.apis import Api
from bench.processes import ROOT, Server, ServerFailed

RESPONSES = "/v1/responses"
CLIENT_KEY = "bench-client-key-2f6c1e80a94d47b5"
LITELLM_KEY = "sk-bench-proxy"
LITELLM_HOME = ROOT / ".venv-litellm"
DEBIAN_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


Ports = tuple[int, int]  # the port to listen on, and the upstream's


@dataclass(frozen=True, slots=True)
class Subject:
    """One of those compared; without a `server` the upstream is asked directly."""

    name: str
    api: Api
    server: Callable[[Path, Ports], Server] | None = None
    is_service: bool = False


def subjects(env: Mapping[str, str]) -> list[Subject]:
    """All that can be compared under this environment, in their order in the table."""
    api = Api("/search", last=b"event: search.completed\n", key=CLIENT_KEY)
    found = [
        Subject("direct", Api(RESPONSES)),
        Subject("nginx", Api(RESPONSES), _nginx),
        Subject("service", api, partial(_service, ROOT, sys.executable), is_service=True),
    ]
    if checkout := env.get("BENCH_PREVIOUS"):
        python = env.get("BENCH_PREVIOUS_PYTHON") or sys.executable
        server = partial(_service, Path(checkout).resolve(), python)
        found.append(Subject("previous", api, server, is_service=True))
    found.append(Subject("relay", Api("/search"), _relay))
    if env.get("BENCH_LITELLM"):
        found.append(Subject("litellm", Api(RESPONSES, LITELLM_KEY, whole=True), _litellm))
    return found


def _service(checkout: Path, python: str, _: Path, ports: Ports) -> Server:
    """`python -m app` with everything on, its limits high.

    Whoever asks is a trusted proxy, as nginx is in production, so connections are kept.
    """
    env = {
        "PYTHONPATH": str(checkout),
        "HOST": "127.0.0.1",
        "PORT": str(ports[0]),
        "DASHSCOPE_API_KEY": "sk-bench",
        "DASHSCOPE_BASE_URL": f"http://127.0.0.1:{ports[1]}/v1",
        "CLIENT_KEYS": f"bench:{CLIENT_KEY}",
        "TRUSTED_PROXIES": "127.0.0.1/32",
        "RATE_LIMIT": "10000000/minute",
        "CAPACITY": "10000",
        "BUDGET_CLIENT_CNY_PER_DAY": "1000000000",
        "SHUTDOWN_GRACE_S": "1",
    }
    return Server([python, "-m", "app"], ports[0], "/readyz", env)


def _nginx(folder: Path, ports: Ports) -> Server:
    program = shutil.which("nginx", path=DEBIAN_PATH)
    if not program:
        raise ServerFailed("nginx is not installed: apt-get install nginx-light")
    conf = _filled_in("nginx.conf", folder, ports)
    return Server([program, "-c", conf, "-e", str(folder / "log")], ports[0], "/stats")


def _relay(_: Path, ports: Ports) -> Server:
    command = [sys.executable, "-m", "uvicorn", "bench.relay:app", "--port", str(ports[0])]
    command += ["--loop", "uvloop", "--http", "httptools", "--backlog", "4096"]
    command += ["--no-access-log", "--log-level", "warning"]
    upstream = f"http://127.0.0.1:{ports[1]}/v1/responses"
    env = {"PYTHONPATH": str(ROOT), "BENCH_UPSTREAM": upstream}
    return Server(command, ports[0], "/openapi.json", env)


def _litellm(folder: Path, ports: Ports) -> Server:
    """LiteLLM's proxy with one worker, in an environment of its own that is made once."""
    python, program = (str(LITELLM_HOME / "bin" / name) for name in ("python", "litellm"))
    if not Path(program).exists():
        install = [python, "-m", "pip", "install", "--quiet", "litellm[proxy]"]
        for command in ([sys.executable, "-m", "venv", str(LITELLM_HOME)], install):
            subprocess.run(command, check=True)  # noqa: S603 - the command is made here, not read
        (LITELLM_HOME / ".gitignore").write_text("*\n", encoding="utf-8")
    command = [program, "--config", _filled_in("litellm.yaml", folder, ports), "--num_workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(ports[0])]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    return Server(command, ports[0], "/health/liveliness", env, within_s=180)


def _filled_in(name: str, folder: Path, ports: Ports) -> str:
    """A configuration file of the bench in `folder`, its words in capitals replaced."""
    text = (ROOT / "bench" / name).read_text(encoding="utf-8")
    words = {"FOLDER": str(folder), "UPSTREAM_PORT": str(ports[1]), "PORT": str(ports[0])}
    for word, value in (words | {"MODEL": MODEL, "KEY": LITELLM_KEY}).items():
        text = text.replace(word, value)
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)
