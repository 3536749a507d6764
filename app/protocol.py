"""One connection's HTTP/1.1, as uvicorn speaks it, that waits for nobody for ever.

Here is what uvicorn leaves open: how much a request's head may hold, how long it may take, what a
reader that stalls may hold, and how a response drops its connection.
"""

import asyncio
import os
import re
import socket
from collections.abc import Callable
from typing import Any, ClassVar

from app.api.feed import OUTLET
from app.api.problems import REFUSAL
from app.errors import HeadTooLarge, MalformedBody, ServiceError
from app.gathered import Gathered, Turn
from app.outlet import Outlet, Unchunked
from app.settings import Settings
from app.unreadable import Unreadable
from app.unsent import Unsent
from app.upgrades import SteadyProtocol

UNSENT_BYTES = 16_384
"""What may wait for a slow reader before its response is held up: once in this process, where
asyncio's bound is 64 KiB, and once in the kernel, which else takes megabytes for every reader."""


HEAD_MAX_BYTES = 65_536
"""A request's line and headers. They are held before anybody is identified, and what they are
joined from costs the square of their length; nginx takes 32 KiB unless told otherwise."""

HEAD_TOO_LARGE = f"The address and the headers may have {HEAD_MAX_BYTES} bytes together."

FRAMING_MAX_BYTES = 65_536
"""What may come between two pieces of a body, or behind the last: chunks' extensions (RFC 9112
§7.1.1) and trailers, which nobody asked for and which the parser holds."""

PATH = re.compile(rb"/[!-\"$->@-~]*")
"""What is surely one of an address, of which not all need have come: without its query."""

PASSED_OVER_BYTES = 268_435_456
"""So much, at least, of a body may follow its refusal: many clients look for an answer only when
all is sent, and would take a lost connection for the reason. Nobody sends for ever."""


class AbortableProtocol(SteadyProtocol):
    """HTTP/1.1 that lets a response drop its connection with all that is still unsent.

    It holds no connection for a caller that owes it something: the rest of a request's head, or
    of a body that was refused already, or to read its answer.
    """

    __slots__ = (
        *("_framing_bytes", "_head_room", "_heads", "_passed_over_bytes", "_patience"),
        *("_refusal", "_unsent", "on_lost"),
    )

    turn: ClassVar[Turn]
    """Of the loop on which all of them are."""

    patience_s: ClassVar[float]
    """How long a whole head may take, and a pause in a refused body; 0: for ever."""

    send_timeout_s: ClassVar[float]
    """How long a reader may take nothing; 0: for ever."""

    passed_over_max_bytes: ClassVar[int]
    """What is read past of a body that its request was answered without; 0: all of it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Bound what a reader that stalls holds, and how long its request's head may take."""
        self._unsent = Unsent(transport, self.send_timeout_s)
        gathered: Any = Gathered(
            transport, self.turn, most=UNSENT_BYTES, on_close=self._unsent.watch
        )
        super().connection_made(gathered)
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        # A twin of the descriptor, because uvloop's stand-in for a socket takes no options.
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as twin:
            twin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self.on_lost: list[Callable[[], None]] = []
        self._heads = self._framing_bytes = self._passed_over_bytes = 0
        self._head_room: int | None = HEAD_MAX_BYTES
        self.url, self.headers = b"", []
        self._refusal: ServiceError | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timers, and tell whoever writes here."""
        self._stop_waiting()
        super().connection_lost(exc)
        self._unsent.stop()
        for lost in self.on_lost.copy():
            lost()
        # Both lead back here, and only the collector would drop the three.
        untyped: Any = self
        untyped.scope = untyped.cycle = None

    def pause_writing(self) -> None:
        """Have an answer wait for its reader, who must go on reading."""
        super().pause_writing()
        # A stream's feed minds its own reader.
        if not self.on_lost:
            self._unsent.watch()

    def resume_writing(self) -> None:
        """Go on with the answer."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._unsent.stop()

    def data_received(self, data: bytes) -> None:
        """Take bytes in; of a head that does not end, no more than it may have."""
        if self._refusal:
            return
        room, heads = self._head_room, self._heads
        piece = data[:room]
        self._framing_bytes += len(piece)
        super().data_received(piece)
        if room is not None and heads == self._heads:
            self._head_room = room - len(piece)
            if self._head_room == 0:
                self._refuse(HeadTooLarge(HEAD_TOO_LARGE))
                return
        self._bound_body(len(piece))
        if len(piece) < len(data) and not self.transport.is_closing():
            self.data_received(data[room:])
            return
        self._watch()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, for plain text
        """Refuse what is none of HTTP."""
        self._refuse(MalformedBody("This is not a valid HTTP request."))

    def on_request(self) -> None:
        """The head has come: from here on, the body's reader watches over it."""
        self._heads += 1
        self._head_room = None
        self._framing_bytes = self._passed_over_bytes = 0
        extensions: Any = {OUTLET: Outlet(self.cycle, self.on_lost)}
        if self._refusal:
            extensions[REFUSAL] = self._refusal
        self.scope["extensions"] = extensions
        if self.scope["http_version"] == "1.0":
            # Of this answer's cycle only: uvicorn makes one for each, and takes no other class.
            vars(self.cycle)["send"] = Unchunked(self.cycle).send

    def on_body(self, body: bytes) -> None:
        """Take a piece in, unless its request was answered without it.

        Held, it would stop the reading, and a browser shows no answer before its upload is out.
        """
        self._framing_bytes = 0
        if not self.cycle.response_started:
            super().on_body(body)

    def on_request_end(self) -> None:
        """What comes next is another head."""
        self._head_room = HEAD_MAX_BYTES
        self.url, self.headers = b"", []

    @property
    def _answering(self) -> bool:
        # Before the first request there is none, whatever uvicorn's annotation says.
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _bound_body(self, n_bytes: int) -> None:
        """Bound what is read of a body for nobody: what frames it, and all behind an answer."""
        if self._head_room is not None:
            return
        if self._framing_bytes > FRAMING_MAX_BYTES:
            self._refuse(MalformedBody("What is around the body's parts is too large."))
        elif self.cycle.response_started:
            self._passed_over_bytes += n_bytes
            if 0 < self.passed_over_max_bytes < self._passed_over_bytes:
                self.transport.abort()

    def _watch(self) -> None:
        """A head has its time as a whole; what follows a refusal, from piece to piece.

        uvicorn's own timer runs only where nothing at all comes after an answer.
        """
        if self._answering or self._head_room is None:
            self._stop_waiting()
        if not self._answering and self._patience is None:
            self._be_patient()

    def _be_patient(self) -> None:
        if self.patience_s:
            self._patience = self.loop.call_later(self.patience_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, error: ServiceError) -> None:
        """Read no more, and have the application say why, as it says all that it refuses."""
        if not self._may_speak:
            self.transport.close()
            return
        if self._head_room is None:
            self._break_body_off()
        self._refusal = error
        path, headers = PATH.match(self.url), self.headers
        untyped: Any = self
        untyped.parser = Unreadable(self.parser.get_method() if self.url else b"")
        self.on_message_begin()
        self.url = path[0] if path else b"/"
        self.headers += headers
        self.on_headers_complete()
        self.on_message_complete()

    @property
    def _may_speak(self) -> bool:
        """Whether a word about what is coming in stands neither ahead of an answer nor in one."""
        if self._head_room is None:
            return not (self.pipeline or self.cycle.response_started)
        return not self._answering

    def _break_body_off(self) -> None:
        """Let whoever reads the body hear that no more comes, and have nothing to say."""
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        untyped: Any = self
        untyped.cycle = None


def own_protocol(settings: Settings) -> type[AbortableProtocol]:
    """The protocol of one server.

    uvicorn makes the instances by itself, so what they share is their class's.
    """
    body_bytes = settings.body_max_bytes
    shared = {
        "turn": Turn(),
        "patience_s": settings.upload_idle_timeout_s,
        "passed_over_max_bytes": body_bytes and max(body_bytes, PASSED_OVER_BYTES),
        "send_timeout_s": settings.stream_send_timeout_s,
    }
    return type("OwnProtocol", (AbortableProtocol,), {"__slots__": (), **shared})
