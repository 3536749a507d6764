"""One budget for the bytes of bodies that are being received and of pictures in work.

Used in the event loop's thread only. Nobody waits inside it: what does not fit is refused.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import ImageTooLarge, Overloaded

RETRY_AFTER_S = 1
WANTED_S = 5.0
"""How long a caller who was refused counts as waiting."""


class MemoryBudget:
    """A bounded total of bytes; `max_bytes=0` only counts.

    No caller takes more than half of it while others hold some, or were refused just now.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._clock = clock
        self._by_caller: Counter[str] = Counter()
        self._wanted_until: dict[str, float] = {}

    @contextmanager
    def hold(self, *, caller: str) -> Iterator["MemoryReservation"]:
        """Open a reservation that grows as needed, and release it at the end."""
        reservation = MemoryReservation(self, caller)
        try:
            yield reservation
        finally:
            reservation.release()

    def take(self, caller: str, n_bytes: int) -> None:
        """Count `n_bytes` more for a caller; less where negative."""
        self.used_bytes += n_bytes
        self._by_caller[caller] += n_bytes
        if not self._by_caller[caller]:
            del self._by_caller[caller]

    def check(self, caller: str, n_bytes: int) -> None:
        """Refuse what does not fit now.

        Raises:
            Overloaded: What others hold, or would like to, leaves no room.
        """
        if not self.max_bytes:
            return
        over_half = self._by_caller[caller] + n_bytes > self.max_bytes // 2
        full = self.used_bytes + n_bytes > self.max_bytes
        if full or (over_half and self._others(caller)):
            self._wanted_until[caller] = self._clock() + WANTED_S
            raise Overloaded(
                "Too many images are being uploaded right now.", retry_after_s=RETRY_AFTER_S
            )
        self._wanted_until.pop(caller, None)

    def _others(self, caller: str) -> bool:
        now = self._clock()
        self._wanted_until = {name: at for name, at in self._wanted_until.items() if at > now}
        return any(name != caller for name in (*self._by_caller, *self._wanted_until))


class MemoryReservation:
    """One holder's part of the budget, in bytes."""

    def __init__(self, budget: MemoryBudget, caller: str) -> None:
        self._budget = budget
        self._caller = caller
        self.n_bytes = 0

    def grow(self, n_bytes: int) -> None:
        """Take `n_bytes` more.

        Raises:
            ImageTooLarge: This reservation alone would exceed the whole budget.
            Overloaded: What others hold leaves no room now.
        """
        most = self._budget.max_bytes
        if 0 < most < self.n_bytes + n_bytes:
            raise ImageTooLarge(f"This needs more than the {most} bytes of memory kept for images.")
        self._budget.check(self._caller, n_bytes)
        self._add(n_bytes)

    def shrink(self, n_bytes: int) -> None:
        """Give `n_bytes` back early."""
        self._add(-n_bytes)

    def release(self) -> None:
        """Give all of it back; more than once does no harm."""
        self._add(-self.n_bytes)

    def transfer(self, n_bytes: int) -> "MemoryReservation":
        """Make a reservation of `n_bytes` for what came of this one; its holder must release it.

        Never refused: the memory is in use already, and refusing would not free it.
        """
        heir = MemoryReservation(self._budget, self._caller)
        heir._add(n_bytes)
        return heir

    def _add(self, n_bytes: int) -> None:
        self._budget.take(self._caller, n_bytes)
        self.n_bytes += n_bytes
