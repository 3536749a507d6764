"""Does memory stay level over thousands of searches? `make soak`, which sets short retentions."""

import asyncio
import sys

from bench.answer import Answer
from bench.client import Client
from bench.plan import Plan
from bench.running import Running

MIB = 2**20
SAMPLES, AT_ONCE, DELTAS = 20, 20, 90
FORGET_S = 3
"""After which a service with retentions of 2 s has forgotten its searches."""


async def soak(target: Running, plan: Plan) -> dict[str, float]:
    """Growth of memory, in all and in the last half, after a quarter of the searches to warm up.

    Streams, waiting requests, and streams whose reader leaves early. CPython takes memory in arenas
    of 1 MiB, so 4 MiB more still count as level; one event left behind by a search would be 5.
    """
    await target.set_answer(Answer(DELTAS))
    await _search(target, plan.soak_searches // 4)
    samples = []
    for number in range(SAMPLES + 1):
        await asyncio.sleep(FORGET_S)
        samples.append(target.memory_bytes() / MIB)
        done = number * plan.soak_searches // SAMPLES
        sys.stderr.write(f"    {done:6} searches: {samples[-1]:.1f} MiB\n")
        if number < SAMPLES:
            await _search(target, plan.soak_searches // SAMPLES)
    grown_mib, late_mib = (samples[-1] - samples[n] for n in (0, SAMPLES // 2))
    return {"soak_grown_mib": grown_mib, "soak_last_half_grown_mib": late_mib}


async def _search(target: Running, count: int) -> None:
    api, waiting = target.subject.api, iter(range(count))

    async def caller() -> None:
        for number in waiting:
            client = await Client.connect(target.port)
            if number % 10 == 0:
                await client.open(api.stream(next(target.numbers)))
            else:
                ask = api.search if number % 2 else api.stream
                await client.ask(ask(next(target.numbers)))
            client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(caller())
