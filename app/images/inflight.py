"""One budget for the bytes that pictures hold: bodies being received and pixels being decoded.

Drawn on from the event loop's thread only. Nobody waits inside it: a draw that does not fit is
refused, so two holders can never wait for one another.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import ImageTooLarge, Overloaded

RETRY_AFTER_S = 1
"""Pictures pass in fractions of a second, so the next second is worth a try."""


class Inflight:
    """A bounded total of bytes; `max_bytes=0` only counts."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0

    @contextmanager
    def hold(self) -> Iterator["Held"]:
        """A share that grows as needed and is given back at the end, whichever way that comes."""
        held = Held(self)
        try:
            yield held
        finally:
            held.release()


class Held:
    """One holder's share of the budget, in bytes."""

    def __init__(self, budget: Inflight) -> None:
        self._budget = budget
        self.bytes = 0

    def fits(self, n_bytes: int) -> bool:
        """Whether `grow(n_bytes)` would succeed now."""
        budget = self._budget
        return not budget.max_bytes or budget.used_bytes + n_bytes <= budget.max_bytes

    def grow(self, n_bytes: int) -> None:
        """Take `n_bytes` more.

        Raises:
            ImageTooLarge: This share alone would be more than the whole budget.
            Overloaded: What the others hold leaves no room now.
        """
        budget = self._budget
        if budget.max_bytes and self.bytes + n_bytes > budget.max_bytes:
            raise ImageTooLarge(
                f"This needs more than the {budget.max_bytes} bytes of memory kept for pictures."
            )
        if not self.fits(n_bytes):
            raise Overloaded(
                "Too many pictures are being taken in right now.", retry_after_s=RETRY_AFTER_S
            )
        budget.used_bytes += n_bytes
        self.bytes += n_bytes

    def shrink(self, n_bytes: int) -> None:
        """Give `n_bytes` back early."""
        self._budget.used_bytes -= n_bytes
        self.bytes -= n_bytes

    def release(self) -> None:
        """Give back all of it; more than once does no harm."""
        self.shrink(self.bytes)

    def hand_over(self, n_bytes: int) -> "Held":
        """Make a share of `n_bytes` for what came of this one's; its holder must release it.

        Never refused: the memory is in use already, and refusing would not free it.
        """
        heir = Held(self._budget)
        heir.shrink(-n_bytes)
        return heir
