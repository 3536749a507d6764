"""What was spent since the start, exact, and the metric that shows it."""

from decimal import Decimal

from prometheus_client import Counter


class Spend:
    """A sum in CNY. The metric adds in floats, so it is led back to the exact sum each time.

    Else ten thousand searches would drift it away in the last digits.
    """

    def __init__(self, shown: Counter) -> None:
        self.total = Decimal(0)
        self._counter = shown
        self._shown = 0.0

    def add(self, amount: Decimal) -> None:
        """Add one charge."""
        self.total += amount
        # A counter only goes up, and may stand a rounding above the sum.
        more = max(0.0, float(self.total) - self._shown)
        self._shown += more
        self._counter.inc(more)
