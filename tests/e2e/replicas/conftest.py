"""Every service of these tests shares one Redis, which holds nothing when a test begins."""

from collections.abc import AsyncIterator

import pytest

from tests import service
from tests.redis_server import RedisServer, redis_server


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[RedisServer]:
    """A redis-server that the tests of a module share."""
    async with redis_server() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
async def shared(server: RedisServer) -> AsyncIterator[RedisServer]:
    """Services run with this `REDIS_URL`."""
    service.DEFAULTS["redis_url"] = server.url
    yield server
    del service.DEFAULTS["redis_url"]


@pytest.fixture(autouse=True)
async def empty(shared: RedisServer) -> RedisServer:
    """Nothing of another test is left."""
    await shared.ask("FLUSHALL")
    return shared
