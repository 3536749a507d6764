"""Many streams at once: opened, released together, read to their ends, checked."""

import asyncio
import gc
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from bench.answer import Answer
from bench.client import Client, Request, WrongAnswer
from bench.running import Running, Spent

# Of streams that are held: neither a flood nor a trickle, however fast the subject is.
OPENING_AT_ONCE = 20
TIMEOUT_S = 120.0  # for all streams to open, and for all to end: longer, and something is broken
SETTLE_S = 0.2  # between the last opening and the release, for work that was put off
STALL_S = 0.1
# In the data of every delta, however it is framed; `event:` lines have no quote there.
DELTA = b'output_text.delta"'
DELTA_TEXT = re.compile(rb'"delta": ?"([^"]*)"')


@dataclass
class Streams:
    """Streams of one answer that are open, and what it took to open and to feed them."""

    target: Running
    answer: Answer
    clients: list[Client]
    opening: Spent
    feeding: Spent = field(default_factory=Spent)
    released_s: float = 0

    @classmethod
    async def open(cls, target: Running, answer: Answer, requests: Sequence[Request]) -> "Streams":
        """Open streams; if the answer is held, their deltas wait until `finish`."""
        await target.set_answer(answer)
        turns = asyncio.Semaphore(OPENING_AT_ONCE if answer.held else len(requests))

        async def open_one(request: Request) -> Client:
            async with turns:
                client = await Client.connect(target.port)
                await client.open(request)
                return client

        with no_gc(), target.spending() as opening:
            async with asyncio.timeout(TIMEOUT_S):
                clients = await asyncio.gather(*map(open_one, requests))
        if answer.held:
            await asyncio.sleep(SETTLE_S)
        return cls(target, answer, clients, opening)

    async def finish(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """Release the streams, read them to their ends, close and check them.

        Raises WrongAnswer: anything is missing, doubled or out of order.
        """
        with no_gc(), self.target.spending() as self.feeding:
            self.released_s = time.perf_counter()
            await self.target.control("POST /go")
            if meanwhile:
                await meanwhile()
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.gather(*(client.ended for client in self.clients))
        for client in self.clients:
            client.close()
            check(client.body, self.answer.text, self.target.subject.api.last)

    @property
    def stalled(self) -> int:
        """How many had to wait over STALL_S for a delta, the first one counted from the release."""
        return sum(
            any(after - before > STALL_S for before, after in pairwise([self.released_s, *times]))
            for times in map(delta_times_s, self.clients)
        )


@contextmanager
def no_gc() -> Iterator[None]:
    """Collect no garbage here meanwhile: its pauses would be taken for the subject's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def check(body: bytes, text: str, last: bytes) -> None:
    """Make sure that every delta came, in order, and the terminal event once and last.

    Raises WrongAnswer: something is missing, doubled or out of order.
    """
    if b"".join(DELTA_TEXT.findall(body)) != text.encode():
        raise WrongAnswer("deltas were lost, doubled or out of order")
    blocks = [one for one in body.replace(b"\r\n", b"\n").split(b"\n\n") if one.strip()]
    if blocks[-1].strip() == b"data: [DONE]":
        del blocks[-1]
    if sum(last in block for block in blocks) != 1 or last not in blocks[-1]:
        raise WrongAnswer(f"the terminal event is not once and last: …{body[-300:]!r}")


def delta_times_s(client: Client) -> list[float]:
    """When deltas came."""
    return [at for at, piece in zip(client.times, client.pieces, strict=True) if DELTA in piece]
