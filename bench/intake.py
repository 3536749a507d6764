"""Eight photos uploaded at once while other streams run: how long does the service pause?"""

import asyncio
import json
import time
from itertools import pairwise

from bench.answer import Answer
from bench.client import Client, Request, WrongAnswer
from bench.pictures import photos
from bench.plan import Plan
from bench.running import Running
from bench.streams import Streams, delta_times_s

MILLI = 1e3
PING = [b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"]
PING_EVERY_S = 0.001
UNDER_WAY_S = 0.2
"""After which all streams have had their first deltas."""

TIMEOUT_S = 60.0


async def intake(target: Running, plan: Plan) -> dict[str, float]:
    """The longest pause, the longest gap in a stream, and the time until all photos are searched.

    A pause is what a `GET /healthz` waits for its answer; one is sent a millisecond after the last.
    """
    if not target.subject.is_service:
        return {}
    made = photos(plan.intake_size)
    uploads = [target.subject.api.upload(next(target.numbers), photo) for photo in made]
    answer = Answer(plan.intake_deltas, plan.interval_s, held=True)
    streams = await Streams.open(target, answer, target.streams(plan.intake_streams))
    times_s, pings_s = list[float](), list[float]()

    async def upload_all() -> None:
        await target.set_answer(Answer(plan.search_deltas))
        await asyncio.sleep(UNDER_WAY_S)
        pinging = asyncio.create_task(_ping(target.port, pings_s))
        times_s.append(time.perf_counter())
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(_upload(target.port, upload) for upload in uploads))
        times_s.append(time.perf_counter())
        pinging.cancel()
        await asyncio.wait([pinging])
        if any(client.ended.done() for client in streams.clients):
            raise WrongAnswer("the streams ended before all photos were searched")

    await streams.finish(upload_all)
    began_s, ended_s = times_s
    return {
        "intake_loop_pause_ms": max(pings_s) * MILLI,
        "intake_ms": (ended_s - began_s) * MILLI,
        "intake_stream_gap_ms": _longest_gap_s(streams, began_s, ended_s) * MILLI,
    }


async def _upload(port: int, upload: Request) -> None:
    client = await Client.connect(port)
    status = json.loads(await client.ask(upload))["status"]
    client.close()
    if status != "completed":
        raise WrongAnswer(f"a search with a photo is {status}")


async def _ping(port: int, pings_s: list[float]) -> None:
    """Ask for the health again and again; note how long each answer took."""
    client = await Client.connect(port)
    try:
        while True:
            await client.ask(PING)
            pings_s.append(time.perf_counter() - client.asked_s)
            await asyncio.sleep(PING_EVERY_S)
    finally:
        if not client.ended.done():
            pings_s.append(time.perf_counter() - client.asked_s)
        client.close()


def _longest_gap_s(streams: Streams, began_s: float, ended_s: float) -> float:
    """The longest time between two deltas of a stream of which a part is in this stretch."""
    return max(
        after - before
        for client in streams.clients
        for before, after in pairwise(delta_times_s(client))
        if after > began_s and before < ended_s
    )
