"""`python -m demo`: start the simulator and the service, search once, and keep both running."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from demo.printer import events, print_search, say
from demo.servers import ServerFailed, free_port, server

ROOT = Path(__file__).resolve().parent.parent
KEY = "sk-simulated"
PICTURE = "red-lighthouse"
PROMPT = "Find pictures like this one and say what they have in common."
TIMEOUT_S, WATCH_S = 60.0, 0.5  # of silence in a search; between looks at the servers
DEFAULTS = {"ALLOW_ANONYMOUS": "true", "SHUTDOWN_GRACE_S": "1"}
HELP = """\
Start the service and a simulator of its upstream on 127.0.0.1, upload a picture, print what comes
back, and keep both running until Ctrl-C. Environment variables:

  DEMO_ONCE=1           end after the search
  DASHSCOPE_API_KEY=…   search with DashScope instead of the simulator, which costs money
  PORT=8000             the service's port; another free one is taken if it is in use
  NAME=value            any other setting of the service; `make demo NAME=value` sets them too"""


def main() -> int:
    """Run the demo; 0 if the search went well, or if it was ended while it kept running."""
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser("python -m demo", description=HELP, formatter_class=raw).parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        with ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="imagesearch-demo-")
            return _run(stack, Path(stack.enter_context(folder)))
    except ServerFailed as failed:
        say(str(failed))
        return 1
    except KeyboardInterrupt:
        say("\nEnded.")
        return 0


def _run(stack: ExitStack, folder: Path) -> int:
    """Start, search once, and go on until a signal or the end of a server."""
    gallery = f"http://127.0.0.1:{free_port(9000)}/gallery"
    service = f"http://127.0.0.1:{free_port(int(os.environ.get('PORT') or 8000))}"
    processes = _start(stack, folder, gallery=gallery, service=service)
    picture = folder / f"{PICTURE}.jpg"
    picture.write_bytes(httpx.get(f"{gallery}/{picture.name}", trust_env=False).content)
    if not _search(service, picture):
        return 1
    if os.environ.get("DEMO_ONCE"):
        return 0
    say(f"\n{service} keeps running until Ctrl-C. In another terminal:")
    say(f"  curl -N -F image=@{picture} {service}/search/stream")
    say(f"The simulator's pictures: {gallery}/")
    while all(process.poll() is None for process in processes):
        time.sleep(WATCH_S)
    raise ServerFailed("A server ended by itself.")


def _start(
    stack: ExitStack, folder: Path, *, gallery: str, service: str
) -> list[subprocess.Popen[bytes]]:
    """Start both servers; with a key of the user's the simulator only shows its gallery."""
    simulator, real = httpx.URL(gallery), bool(os.environ.get("DASHSCOPE_API_KEY"))
    upstream = str(simulator.copy_with(path="/compatible-mode/v1"))
    common = {**DEFAULTS, **os.environ, "PYTHONPATH": str(ROOT)}
    fake = common | {"DASHSCOPE_API_KEY": KEY, "DASHSCOPE_BASE_URL": upstream}
    env = (common if real else fake) | {"PORT": str(httpx.URL(service).port)}
    command = ["simulator", "--host", "127.0.0.1", "--port", str(simulator.port), "--key", KEY]
    ready = str(simulator.copy_with(path="/healthz"))
    servers = (
        server(command, env=fake, folder=folder, ready=ready),
        server(["app"], env=env, folder=folder, ready=f"{service}/readyz"),
    )
    processes = [stack.enter_context(one) for one in servers]
    say(f"{service}/  the page: open it in a browser")
    which = "DashScope with your key: every search costs money" if real else "a simulator, free"
    say(f"upstream: {which}\n")
    return processes


def _search(service: str, picture: Path) -> bool:
    """Upload the picture to `/search/stream` and print what comes; whether that went well."""
    files, data = {"image": (picture.name, picture.read_bytes())}, {"prompt": PROMPT}
    try:
        with (
            httpx.Client(trust_env=False, timeout=TIMEOUT_S) as client,
            client.stream("POST", f"{service}/search/stream", files=files, data=data) as response,
        ):
            if response.is_success:
                return print_search(events(response.iter_raw()))
            say(f"The search was refused: {response.read().decode()}")
    except httpx.TransportError as broken:
        say(f"The search failed: {broken}")
    return False


if __name__ == "__main__":
    sys.exit(main())
