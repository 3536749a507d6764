"""uvicorn, taught to shut down without cutting anybody off.

On SIGTERM the listener stays open while searches drain, so that `/readyz` says 503 and new
searches are told `draining`; then uvicorn stops as usual, and the process exits 0. Of itself
uvicorn closes the listener first, tells its streams nothing, and dies of the signal.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from app.protocol import own_protocol
from app.settings import Settings, SettingsError

LAST_WORDS_S = 5
"""The server's own grace, after the drain's: time to send what the runs said last."""

KEEP_ALIVE_S = 75
"""How long a connection may be idle between two requests. Proxies and balancers in front close
theirs sooner, most of them after 60 s, and so never send a request into one that is closing."""

BACKLOG = 2_048


class DrainingServer(uvicorn.Server):
    """Serves until SIGTERM or SIGINT, drains, then stops; a second signal ends the grace."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=as_asyncio_has_it(settings.host),
                port=settings.port,
                http=own_protocol(settings),
                ws="none",
                loop="uvloop",
                lifespan="on",
                access_log=False,
                log_config=None,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                timeout_graceful_shutdown=LAST_WORDS_S,
            )
        )
        self._app = app
        self._address = settings.host, settings.port
        self._draining: asyncio.Task[None] | None = None
        self._grace_s = settings.shutdown_grace_s

    async def serve(self, sockets: list[object] | None = None) -> None:  # type: ignore[override] # narrower than uvicorn's Any
        """Serve until told to stop.

        Raises:
            SettingsError: Nothing can listen at HOST and PORT.
        """
        if sockets is None:
            await check_address(*self._address)
        async with self._signals():
            await self._serve(sockets)  # type: ignore[arg-type] # passed through untouched

    @asynccontextmanager
    async def _signals(self) -> AsyncGenerator[None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        if not self.started:
            self.should_exit = True
            return
        grace_s = self._grace_s
        if self._draining:
            self._draining.cancel()
            grace_s = 0
        self._draining = asyncio.create_task(self._drain(grace_s))

    async def _drain(self, grace_s: float) -> None:
        service = self._app.state.service
        # Searches that have not begun will not begin: their callers are told at once.
        await asyncio.gather(service.runs.drain(grace_s), service.intake.close())
        self.should_exit = True


def as_asyncio_has_it(host: str) -> str:
    """Return all addresses for `::`, by which asyncio understands those of IPv6 alone.

    Most programs, and the kernel unless told otherwise, understand those of IPv4 by it too.
    """
    return "" if host == "::" else host


async def check_address(host: str, port: int) -> None:
    """Find out whether a server can listen there, before uvicorn only logs that it cannot.

    Raises:
        SettingsError: It cannot.
    """
    try:
        probe = await asyncio.get_running_loop().create_server(
            asyncio.Protocol, as_asyncio_has_it(host), port, start_serving=False
        )
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise SettingsError(f"HOST={host} PORT={port}: cannot listen there: {reason}") from exc
    probe.close()
    await probe.wait_closed()
