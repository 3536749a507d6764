"""A service that the tests of a module share; where one needs it for itself, it runs its own."""

from collections.abc import AsyncGenerator

import pytest

from tests.e2e.callers import GUARDED
from tests.service import Running, running


@pytest.fixture(scope="module")
async def service() -> AsyncGenerator[Running, None]:
    """Open to anybody."""
    async with running() as service:
        yield service


@pytest.fixture(scope="module")
async def guarded() -> AsyncGenerator[Running, None]:
    """With two clients, their tokens, and one page that may ask."""
    async with running(**GUARDED) as service:
        yield service
