"""`python -m app`: the service on HOST:PORT, until SIGTERM."""

import gc
import sys

from app.main import create_app
from app.server import DrainingServer
from app.settings import SettingsError, load
from app.telemetry import configure_logging

GC_ALLOCATIONS, GC_YOUNG, GC_MIDDLE = 20_000, 20, 50
"""Python's 700, 10 and 10 took an eighth of what relaying an event costs."""


def main() -> int:
    """Serve; return the process's exit status."""
    try:
        settings = load()
        app = create_app(settings)
        configure_logging(level=settings.log_level, as_json=settings.log_format == "json")
        spare_the_collector()
        DrainingServer(app, settings).run()
    except SettingsError as exc:
        sys.stderr.write(f"imagesearch-proxy cannot start: {exc}\n")
        return 2
    return 0


def spare_the_collector() -> None:
    """Look for cyclic garbage less often: an answer's events are many, live long and hold none."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, GC_YOUNG, GC_MIDDLE)


if __name__ == "__main__":
    sys.exit(main())
