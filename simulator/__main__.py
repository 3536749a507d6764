"""`python -m simulator`: the stand-in upstream as a process."""

import argparse
import asyncio
import os
import sys
from typing import Final, NoReturn

from simulator.catalogue import SCENARIOS
from simulator.plan import Knobs
from simulator.server import PREFIXES, create_app
from simulator.serving import listen, serve_until_signal

_DEFAULTS: Final = Knobs()
# flag: type, default, meaning. Each is an environment variable too: --pace-s is SIMULATOR_PACE_S.
_FLAGS: Final[dict[str, tuple[type, object, str]]] = {
    "host": (str, "127.0.0.1", "address to listen on"),
    "port": (int, 9100, "port to listen on; 0 is a free one"),
    "pace-s": (float, _DEFAULTS.pace_s, "seconds before each delta"),
    "silence-s": (float, _DEFAULTS.silence_s, "seconds of silence while a search runs"),
    "results": (int, _DEFAULTS.results, "pictures that a search returns, 0 to 100"),
    "seed": (int, _DEFAULTS.seed, "chooses the wording of answers"),
    "key": (str, _DEFAULTS.key, "the only API key accepted"),
    "public-url": (str, None, "base of result links, by default the request's Host"),
}


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"simulator: {message}\n")
        raise SystemExit(2)


def main(arguments: list[str]) -> None:
    """Run until a signal; exits with status 2 on a bad flag, variable or address."""
    parser = _Parser(prog="python -m simulator", description=__doc__, allow_abbrev=False)
    parser.add_argument("--scenarios", action="store_true", help="list the scenarios and exit")
    for flag, (kind, default, meaning) in _FLAGS.items():
        variable = f"SIMULATOR_{flag.upper().replace('-', '_')}"
        # argparse converts a default that is text too, so a bad variable is reported as well.
        given = os.environ.get(variable) or default
        parser.add_argument(f"--{flag}", type=kind, default=given, help=f"{meaning} [{variable}]")
    options = vars(parser.parse_args(arguments))
    if options.pop("scenarios"):
        rows = ((name, each.description) for name, each in SCENARIOS.items())
        sys.stdout.writelines(f"{name:24}{description}\n" for name, description in rows)
        return
    host, port = options.pop("host"), options.pop("port")
    if not 0 <= port <= 65_535:  # noqa: PLR2004 - TCP's highest
        parser.error("--port must be from 0 to 65535")
    try:
        app, listener = create_app(Knobs(**options)), listen(host, port)
    except (ValueError, OSError) as exc:
        parser.error(str(exc))
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}{PREFIXES[0]}"
    with listener:
        asyncio.run(serve_until_signal(app, listener, f"simulator: listening on {address}"))


if __name__ == "__main__":
    main(sys.argv[1:])
