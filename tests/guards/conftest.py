"""What the guards' tests share: clocks that stand still until told."""

import pytest

from tests.guards.setups import Clock


@pytest.fixture
def clock() -> Clock:
    """Seconds that never go back."""
    return Clock(1_000.0)


@pytest.fixture
def wall() -> Clock:
    """Seconds since 1970: 2026-11-22, 12:00 UTC."""
    return Clock(1_795_348_800.0)
