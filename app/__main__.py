"""`python -m app`: the service on HOST and PORT, until SIGTERM; or `check`."""

import argparse
import asyncio
import gc
import logging
import socket
import sys

from app.check import check
from app.main import app, installed_version
from app.server import DrainingServer, Workers, listen
from app.settings import SettingsError, load
from app.store.redis_client import probe
from app.telemetry import logging_to_stdout


def main() -> int:
    """Serve; return the process's exit status: 0 after a drain, 2 if it cannot start."""
    about = "Serve imagesearch-proxy. docs/operations.md lists its settings, environment variables."
    looks = "say what is right and wrong in the settings, key and prices; no search, no cost"
    parser = argparse.ArgumentParser(prog="python -m app", description=about)
    parser.add_argument("--version", action="version", version=installed_version())
    parser.add_argument("command", nargs="?", choices=["check"], help=looks)
    # What a worker of several is given by the process that starts them.
    parser.add_argument("--socket", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    return check() if given.command else serve(given.socket)


def serve(inherited: int | None) -> int:
    """Serve on a listening socket of our own, or as a worker on the one that is `inherited`."""
    is_worker = inherited is not None
    try:
        settings = load()
        if url := settings.redis_url.get_secret_value():
            asyncio.run(probe(url))
        listener = socket.socket(fileno=inherited) if is_worker else listen(settings)
    except SettingsError as exc:
        sys.stderr.write(f"imagesearch-proxy cannot start: {exc}\n")
        return 2
    # Events are many and hold no reference cycles: looking for some takes an eighth of a relay.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    with logging_to_stdout(level=settings.log_level, as_json=settings.log_format == "json"):
        if not is_worker:
            host, port = listener.getsockname()[:2]
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            logging.getLogger("app.server").info("running on %s (Ctrl+C stops it)", url)
        if settings.workers > 1 and not is_worker:
            return asyncio.run(Workers(settings, listener).run())
        server = DrainingServer(app, settings, sys.stdin.fileno() if is_worker else None)
        server.run(sockets=[listener])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
