"""`python -m demo`: start both processes, search once, show it, and go on serving."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from app.settings import SECRETS, Settings
from demo import events, hints, picture, screen
from demo.children import Crew, Died, free_port
from demo.hints import Site
from demo.signals import Asked, Signals
from demo.story import Story

if TYPE_CHECKING:
    from demo.picture import Sample
    from demo.screen import Screen

ROOT: Final = Path(__file__).resolve().parent.parent
SERVICE_PORT: Final = 8000
STAND_IN_PORT: Final = 9000
KEY: Final = "sk-simulated"
PROMPT: Final = "Find pictures like this one and say what they have in common."
# Silence of a running search is broken by a progress event each second, so this is a breakdown.
SILENCE_S: Final = 60.0
# Restated in each child's environment, so that an exported setting cannot change the demo.
QUIET: Final = {
    "HOST": "127.0.0.1",
    "ALLOW_ANONYMOUS": "true",
    "LOG_LEVEL": "warning",
    "LOG_FORMAT": "text",
    "SHUTDOWN_GRACE_S": "1",
    "STREAM_PROGRESS_S": "1",
}


def main() -> int:
    """Run the demo; the exit status."""
    shown = screen.stdout(os.environ)
    serving = False
    try:
        with (
            Signals() as signals,
            tempfile.TemporaryDirectory(prefix="imagesearch-demo-") as scratch,
            Crew(signals) as crew,
        ):
            sample = picture.sample()
            site = _start(crew, shown, scratch=Path(scratch), sample=sample)
            found = _search(shown, site, sample)
            if os.environ.get("DEMO_ONCE"):
                return 0 if found else 1
            hints.show(shown, site)
            serving = True
            crew.watch()
    except Asked as asked:
        shown.line()
        shown.line("Ended.")
        return 0 if serving else 128 + asked.number
    except Died as died:
        shown.line()
        shown.line(str(died))
    except BrokenPipeError:
        # Nobody reads any more: keep the interpreter from trying once again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _start(crew: Crew, shown: Screen, *, scratch: Path, sample: Sample) -> Site:
    upload = scratch / f"{sample.name}.jpg"
    upload.write_bytes(sample.jpeg)
    shown.line(shown.style("imagesearch-proxy", "bold"))
    if os.environ.get("DASHSCOPE_API_KEY"):
        gallery = ""
        # Here the settings of the shell and of `.env` count: region, workspace, model.
        env, cwd = {**os.environ, **QUIET}, ROOT
        shown.line("  upstream  DashScope, with your key: every search costs money")
    else:
        stand_in = _start_stand_in(crew, scratch)
        gallery = f"{stand_in}/gallery/"
        env, cwd = _bare_environment() | QUIET, scratch
        env["DASHSCOPE_BASE_URL"] = f"{stand_in}/compatible-mode/v1"
        env["DASHSCOPE_API_KEY"] = KEY
        shown.line(f"  upstream  {stand_in}, a stand-in on this machine: no key, no cost")
    service = _start_service(crew, env, cwd)
    shown.line(f"  service   {service}")
    size = f"{sample.width} x {sample.height}, {len(sample.jpeg) / 1000:.1f} kB"
    shown.line(f"  picture   {upload.name}, made smaller and recompressed: {size}")
    shown.line()
    return Site(service=service, gallery=gallery, upload=upload)


def _start_stand_in(crew: Crew, scratch: Path) -> str:
    port = free_port(STAND_IN_PORT)
    command = [sys.executable, "-m", "simulator", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--key", KEY]
    child = crew.start("stand-in upstream", command, env=_bare_environment(), cwd=scratch)
    child.until(lambda: child.says("simulator: listening on "))
    return f"http://127.0.0.1:{port}"


def _start_service(crew: Crew, env: dict[str, str], cwd: Path) -> str:
    port = free_port(SERVICE_PORT)
    env = {**env, "PORT": str(port), "PYTHONPATH": str(ROOT)}
    child = crew.start("service", [sys.executable, "-m", "app"], env=env, cwd=cwd)
    service = f"http://127.0.0.1:{port}"
    with httpx.Client(trust_env=False) as client:
        child.until(lambda: _answers(client, f"{service}/readyz"))
    return service


def _bare_environment() -> dict[str, str]:
    """The environment without the service's settings, and this checkout to import from."""
    settings = {name.upper() for name in Settings.model_fields} | {
        f"{name}_FILE" for name in SECRETS
    }
    kept = {name: value for name, value in os.environ.items() if name.upper() not in settings}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).is_success
    except httpx.TransportError:
        return False


def _search(shown: Screen, site: Site, sample: Sample) -> bool:
    shown.line(shown.style("POST /search/stream", "bold"))
    story = Story(shown, clock=time.monotonic)
    files = {"image": (site.upload.name, sample.jpeg, "image/jpeg")}
    try:
        with (
            httpx.Client(trust_env=False, timeout=SILENCE_S) as client,
            client.stream(
                "POST", f"{site.service}/search/stream", files=files, data={"prompt": PROMPT}
            ) as response,
        ):
            if response.is_success:
                return story.tell(events.read(response.iter_raw()))
            return story.problem(response.status_code, _document(response.read()))
    except httpx.TransportError as broken:
        return story.problem(0, {"title": "The connection broke", "detail": str(broken)})


def _document(body: bytes) -> dict[str, object]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
