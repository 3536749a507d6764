"""A TCP proxy that notes what passes, and can cut answers off as a bad network does."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

READ_BYTES = 65_536


class Exchange(NamedTuple):
    """A request and what came of it. `code`: of a refusal, else empty."""

    method: str
    path: str
    status: int
    code: str


class Proxy:
    """Passes connections on to `url`; each of the first is cut after so many bytes of answer."""

    def __init__(self, url: str, cuts: Iterable[int]) -> None:
        address = urlsplit(url)
        self._target = address.hostname, address.port
        self._cuts = list(cuts)
        self.url = ""
        self.requests: list[bytes] = []
        self.answers: list[bytes] = []
        self.connected = asyncio.Condition()

    async def connections(self, count: int) -> None:
        """Wait until so many connections have been made."""
        async with self.connected:
            await self.connected.wait_for(lambda: len(self.answers) >= count)

    @property
    def exchanges(self) -> list[Exchange]:
        """All requests that were answered, by connection."""
        found = []
        for sent, came in zip(self.requests, self.answers, strict=True):
            asked = re.findall(rb"([A-Z]+) (/[^ ?]*)[^ ]* HTTP/1\.1\r\n", sent)
            for (method, path), answer in zip(asked, came.split(b"HTTP/1.1 ")[1:], strict=False):
                status, code = int(answer[:3]), re.search(rb'"code": ?"(\w+)"', answer)
                refusal = code[1].decode() if code and status >= 400 else ""
                found.append(Exchange(method.decode(), path.decode(), status, refusal))
        return found

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection both ways, until one end closes or it is cut."""
        number = len(self.answers)
        self.answers.append(b"")
        self.requests.append(b"")
        async with self.connected:
            self.connected.notify_all()
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        asking = asyncio.create_task(self._pass_on(number, reader, up_writer))
        try:
            while data := await up_reader.read(READ_BYTES):
                left = self._left(number)
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

    def _left(self, number: int) -> int | None:
        """Bytes that a connection may still answer; `None` for one that is not cut."""
        if number >= len(self._cuts):
            return None
        return self._cuts[number] - len(self.answers[number])

    async def _pass_on(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(READ_BYTES):
            self.requests[number] += data
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
