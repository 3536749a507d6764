"""`python -m app`: the service on HOST:PORT, until SIGTERM."""

import sys

from app.main import create_app
from app.server import DrainingServer
from app.settings import SettingsError, load
from app.telemetry import configure_logging


def main() -> int:
    """Serve; return the process's exit status."""
    try:
        settings = load()
        app = create_app(settings)
    except SettingsError as exc:
        sys.stderr.write(f"imagesearch-proxy cannot start: {exc}\n")
        return 2
    configure_logging(level=settings.log_level, as_json=settings.log_format == "json")
    DrainingServer(app, settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
