"""`python -m bench.probed`: the service as it is, and a probe of how long its event loop pauses.

A callback that is due every millisecond notes how late it comes. Whoever connects to
BENCH_PROBE_PORT is told the longest delay since the last time that was asked, in milliseconds.
"""

import asyncio
import os
import sys
from typing import Any, cast

from app import __main__ as service
from app.server import DrainingServer
from bench.subjects import PROBE_PORT

TICK_S = 0.001


class Probe:
    """Ticks on a loop, and remembers the latest tick."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._longest_s = 0.0
        self._wait()

    def take_ms(self) -> float:
        """The longest delay since this was last asked, one that is not over included."""
        longest_s = max(self._longest_s, self._loop.time() - self._due_s)
        self._longest_s = 0.0
        return longest_s * 1000

    def _wait(self) -> None:
        self._due_s = self._loop.time() + TICK_S
        self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._longest_s = max(self._longest_s, self._loop.time() - self._due_s)
        self._wait()


class Telling(asyncio.Protocol):
    """One connection: the answer, and the end."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell."""
        writing = cast("asyncio.Transport", transport)
        writing.write(f"{self._probe.take_ms():.3f}\n".encode())
        writing.close()


class Probed(DrainingServer):
    """The service's server with a probe on its loop."""

    async def serve(self, sockets: Any = None) -> None:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        probe = Probe(loop)
        port = int(os.environ[PROBE_PORT])
        telling = await loop.create_server(lambda: Telling(probe), "127.0.0.1", port)
        async with telling:
            await super().serve(sockets)


def main() -> int:
    """Serve like `python -m app`."""
    service.__dict__["DrainingServer"] = Probed
    return service.main()


if __name__ == "__main__":
    sys.exit(main())
