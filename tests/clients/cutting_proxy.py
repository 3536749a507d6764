"""A TCP proxy that cuts answers off in the middle, as a bad network does."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

READ_BYTES = 65_536


class Proxy:
    """Passes connections on to `url`; each of the first is cut after so many bytes of answer."""

    def __init__(self, url: str, cuts: Iterable[int]) -> None:
        address = urlsplit(url)
        self._target = address.hostname, address.port
        self._cuts = list(cuts)
        self.url = ""
        self.answers: list[bytes] = []
        self.connected = asyncio.Condition()

    async def connections(self, count: int) -> None:
        """Wait until so many connections have been made."""
        async with self.connected:
            await self.connected.wait_for(lambda: len(self.answers) >= count)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection both ways, until one end closes or it is cut."""
        number = len(self.answers)
        self.answers.append(b"")
        async with self.connected:
            self.connected.notify_all()
        host, port = self._target
        up_reader, up_writer = await asyncio.open_connection(host, port)
        asking = asyncio.create_task(_pass_on(reader, up_writer))
        try:
            while data := await up_reader.read(READ_BYTES):
                left = self._cuts[number] - len(self.answers[number]) if self._cut(number) else None
                self.answers[number] += data[:left]
                writer.write(data[:left])
                await writer.drain()
                if left is not None and left <= len(data):
                    break
        except ConnectionError:
            pass
        finally:
            asking.cancel()
            writer.close()
            up_writer.close()

    def _cut(self, number: int) -> bool:
        return number < len(self._cuts)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def cutting(url: str, *cuts: int) -> AsyncIterator[Proxy]:
    """A proxy in front of `url` on a free port."""
    proxy = Proxy(url, cuts)
    server = await asyncio.start_server(proxy.carry, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield proxy
