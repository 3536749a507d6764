"""What is compared: how each is started in front of the upstream, and how it is asked."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.children import OWN, ROOT, Died, free_port, serving
from bench.faces import Face, Responses, Search
from bench.shape import MODEL

PROBE_PORT = "BENCH_PROBE_PORT"
"""The environment's variable that tells a probe where to answer."""

CLIENT_KEY = "bench-client-key-2f6c1e80a94d47b5"
LITELLM_KEY = "sk-bench-proxy"
LITELLM_HOME = ROOT / ".venv-litellm"
LITELLM_START_S = 180
DEBIAN_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


@dataclass(frozen=True, slots=True)
class Started:
    """A subject that answers on `port`; `pid` is `None` where nothing stands in between."""

    pid: int | None
    port: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a subject is started: its core, a folder of its own, and its upstream's port."""

    core: int
    folder: Path
    upstream_port: int

    @property
    def log(self) -> Path:
        """The file for whatever it writes."""
        return self.folder / "log"


class Direct:
    """No proxy at all: what upstream and load do by themselves."""

    name = "direct"
    face: Face = Responses()

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        """Nothing to start."""
        yield Started(None, place.upstream_port)


class Nginx:
    """nginx with `proxy_pass`, buffering off."""

    name = "nginx"
    face: Face = Responses()

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        """Start one master and one worker."""
        program = shutil.which("nginx", path=DEBIAN_PATH)
        if not program:
            raise Died("nginx is not installed: apt-get install nginx-light")
        port = free_port()
        conf = _filled("nginx.conf", place, port)
        command = [program, "-c", str(conf), "-e", str(place.log)]
        with serving(command, core=place.core, log=place.log, url=(port, "/stats")) as pid:
            yield Started(pid, port)


class Service:
    """This service, with everything on: keys, rate, capacity, metrics, JSON logs, resume."""

    name = "service"
    face: Face = Search(last=b"event: search.completed\n", key=CLIENT_KEY)

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        """Start `python -m app`, its limits on but high."""
        with self._running("app", place, {}) as started:
            yield started

    @contextmanager
    def probed(self, place: Place) -> Iterator[tuple[Started, int]]:
        """Start the same with a probe on its loop; yields the probe's port too."""
        probe_port = free_port()
        with self._running("bench.probed", place, {PROBE_PORT: str(probe_port)}) as started:
            yield started, probe_port

    @contextmanager
    def _running(self, module: str, place: Place, more: dict[str, str]) -> Iterator[Started]:
        port = free_port()
        env = OWN | {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DASHSCOPE_API_KEY": "sk-bench",
            "DASHSCOPE_BASE_URL": f"http://127.0.0.1:{place.upstream_port}/v1",
            "CLIENT_KEYS": f"bench:{CLIENT_KEY}",
            "RATE_LIMIT": "10000000/minute",
            "CAPACITY": "10000",
            "BUDGET_CLIENT_CNY_PER_DAY": "1000000000",
            "SHUTDOWN_GRACE_S": "1",
        }
        command = [sys.executable, "-m", module]
        url = (port, "/readyz")
        with serving(command, core=place.core, log=place.log, url=url, env=env | more) as pid:
            yield Started(pid, port)


class Relay:
    """FastAPI, httpx and sse-starlette in thirty lines."""

    name = "relay"
    face: Face = Search(last=b'response.completed"')

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        """Start it under uvicorn with uvloop and httptools."""
        port = free_port()
        env = OWN | {"BENCH_UPSTREAM": f"http://127.0.0.1:{place.upstream_port}"}
        command = [sys.executable, "-m", "uvicorn", "bench.relay:app", "--port", str(port)]
        command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        command += ["--backlog", "4096", "--log-level", "warning"]
        url = (port, "/openapi.json")
        with serving(command, core=place.core, log=place.log, url=url, env=env) as pid:
            yield Started(pid, port)


class LiteLLM:
    """LiteLLM's proxy, one worker, in an environment of its own."""

    name = "litellm"
    face: Face = Responses(key=LITELLM_KEY, whole=True)

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        """Install it where it is missing, and start it."""
        install_litellm()
        port = free_port()
        conf = _filled("litellm.yaml", place, port)
        command = [str(LITELLM_HOME / "bin" / "litellm"), "--config", str(conf)]
        command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        with serving(
            command,
            core=place.core,
            log=place.log,
            url=(port, "/health/liveliness"),
            env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
            within_s=LITELLM_START_S,
        ) as pid:
            yield Started(pid, port)


Subject = Direct | Nginx | Service | Relay | LiteLLM


def install_litellm() -> None:
    """Make LiteLLM's environment, once: it has hundreds of packages that nothing else needs."""
    if (LITELLM_HOME / "bin" / "litellm").exists():
        return
    python = str(LITELLM_HOME / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "litellm[proxy]"]
    for command in ([sys.executable, "-m", "venv", str(LITELLM_HOME)], install):
        subprocess.run(command, check=True)  # noqa: S603 - the command is made here, not read
    (LITELLM_HOME / ".gitignore").write_text("*\n", encoding="utf-8")


def _filled(name: str, place: Place, port: int) -> Path:
    """A configuration of the bench with its words filled in, in the subject's folder."""
    text = (ROOT / "bench" / name).read_text(encoding="utf-8")
    words = {
        "FOLDER": str(place.folder),
        "UPSTREAM_PORT": str(place.upstream_port),
        "PORT": str(port),
        "MODEL": MODEL,
        "KEY": LITELLM_KEY,
    }
    for word, value in words.items():
        text = text.replace(word, value)
    path = place.folder / name
    path.write_text(text, encoding="utf-8")
    return path
