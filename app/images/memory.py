"""One budget for the bytes of bodies being received and of images in work; nobody waits in it."""

import asyncio
from collections import Counter
from contextlib import AbstractContextManager

from app.errors import ImageTooLarge, Overloaded

WAITING_S = 5.0  # So long a caller who was refused counts as one who waits.


class MemoryBudget:
    """A bounded total of bytes, shared fairly; `max_bytes=0` only counts."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_by = Counter[str]()
        self._waiting_until: dict[str, float] = {}

    @property
    def used_bytes(self) -> int:
        return self.used_by.total()

    def hold(self, *, caller: str) -> "MemoryReservation":
        """A reservation, empty at first, which `with` releases at the end."""
        return MemoryReservation(self, caller)

    def take(self, caller: str, n_bytes: int) -> None:
        """Give a caller `n_bytes` more, or raise `Overloaded` if it has to wait for them."""
        # No more than half of it while others hold some, or were refused just now.
        now, most = asyncio.get_running_loop().time(), self.max_bytes
        self.used_by = +self.used_by  # Drops those who hold nothing.
        others = {who: t for who, t in self._waiting_until.items() if t > now and who != caller}
        may_have = most if others.keys() | self.used_by.keys() <= {caller} else most // 2
        fits = self.used_bytes + n_bytes <= most and self.used_by[caller] + n_bytes <= may_have
        self._waiting_until = others if fits else others | {caller: now + WAITING_S}
        if most and not fits:
            raise Overloaded("Too many images are being uploaded right now.", retry_after_s=1)
        self.used_by[caller] += n_bytes


class MemoryReservation(AbstractContextManager["MemoryReservation"]):
    """One holder's part of the budget."""

    def __init__(self, budget: MemoryBudget, caller: str, n_bytes: int = 0) -> None:
        self._budget, self._caller, self._n_bytes = budget, caller, n_bytes
        budget.used_by[caller] += n_bytes

    def grow(self, n_bytes: int) -> None:
        """Take `n_bytes` more; raises `ImageTooLarge` or `Overloaded`: never, or not now."""
        most = self._budget.max_bytes
        if 0 < most < self._n_bytes + n_bytes:
            raise ImageTooLarge(f"This needs more than the {most} bytes of memory kept for images.")
        self._budget.take(self._caller, n_bytes)
        self._n_bytes += n_bytes

    def release(self) -> None:
        """Give all of it back; more than once does no harm."""
        self._budget.used_by[self._caller] -= self._n_bytes
        self._n_bytes = 0

    def __exit__(self, *_: object) -> None:
        self.release()

    def derive(self, n_bytes: int) -> "MemoryReservation":
        """A second reservation, never refused, whose holder must release it; this one stays."""
        return MemoryReservation(self._budget, self._caller, n_bytes)
