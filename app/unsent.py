"""What waits for a connection's reader, who must go on taking of it."""

import asyncio
import logging

from app.silence import Silence

logger = logging.getLogger(__name__)


class Unsent:
    """Drops a connection of whose unsent bytes nothing was taken for `after_s` seconds; 0: never.

    Not for streams, where all that waits has to be taken in that time (`app.api.feed`): a plain
    answer may be large, and its reader slow. Seen from here a reader takes some 64 KiB at a time,
    as the kernel does.
    """

    __slots__ = ("_after_s", "_n_bytes", "_silence", "_transport")

    def __init__(self, transport: asyncio.WriteTransport, after_s: float) -> None:
        self._transport = transport
        self._after_s = after_s
        self._silence: Silence | None = None
        self._n_bytes = 0

    def watch(self) -> None:
        """Begin to look, where there is something to look at and this has not begun."""
        if self._silence is None and (n_bytes := self._transport.get_write_buffer_size()):
            self._n_bytes = n_bytes
            self._silence = Silence(self._after_s, self._look)
            self._silence.watch()

    def stop(self) -> None:
        """Look no more until the next `watch`."""
        if self._silence:
            self._silence.stop()
            self._silence = None

    def _look(self) -> None:
        before, self._n_bytes = self._n_bytes, self._transport.get_write_buffer_size()
        if self._n_bytes < before:
            return
        logger.info("reader dropped: it took nothing for too long")
        self._transport.abort()
        self.stop()
