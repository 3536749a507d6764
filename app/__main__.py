"""`python -m app`: the service on HOST and PORT, until SIGTERM; or `check`."""

import argparse
import asyncio
import gc
import logging
import socket
import sys

from app.check import check
from app.main import app, installed_version
from app.server import DrainingServer, listen, server_config, url_of
from app.settings import Settings, SettingsError
from app.store import probe
from app.telemetry import configure_logging
from app.workers import run_workers

logger = logging.getLogger("app.server")

GC_ALLOCATIONS, GC_YOUNG, GC_MIDDLE = 20_000, 20, 50
"""With Python's 700, 10 and 10 an eighth of the cost of relaying an event is garbage collection."""


def main() -> int:
    """Serve; return the process's exit status: 0 after a drain, 2 if it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Serve imagesearch-proxy. Settings are environment variables: "
        "docs/operations.md lists them.",
    )
    parser.add_argument("--version", action="version", version=installed_version())
    parser.add_argument(
        "command",
        nargs="?",
        choices=["check"],
        help="say what is right and wrong in the settings, key and prices; no search, no cost",
    )
    # What a worker of several is given by the process that starts them.
    parser.add_argument("--socket", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.command:
        return check()
    try:
        if app.state.error:
            raise app.state.error
        settings: Settings = app.state.settings
        if url := settings.redis_url.get_secret_value():
            asyncio.run(probe(url))
        is_worker = given.socket is not None
        listener = socket.socket(fileno=given.socket) if is_worker else listen(settings)
    except SettingsError as exc:
        sys.stderr.write(f"imagesearch-proxy cannot start: {exc}\n")
        return 2
    collect_garbage_less_often()
    as_json = settings.log_format == "json"
    log = configure_logging(level=settings.log_level, as_json=as_json)
    try:
        if not is_worker:
            logger.info("running on %s (Ctrl+C stops it)", url_of(listener))
        if settings.workers > 1 and not is_worker:
            return run_workers(settings, listener)
        server = DrainingServer(
            server_config(app, settings),
            app,
            settings.shutdown_grace_s,
            parent_pipe=sys.stdin.fileno() if is_worker else None,
        )
        server.run(sockets=[listener])
    finally:
        log.finish()
    return 0 if server.started else 1


def collect_garbage_less_often() -> None:
    """Events are many and live long, but hold no reference cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, GC_YOUNG, GC_MIDDLE)


if __name__ == "__main__":
    sys.exit(main())
