"""What all tests share: an event loop with a clock of its own."""

import pytest

from tests.clock import SkippingLoop


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": SkippingLoop}
