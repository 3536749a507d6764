"""Eight photos taken in at once, while other streams go on: how long does the event loop pause?

It runs on a service of its own with a probe inside (`probed`), on the core of the other one, which
has nothing to do meanwhile.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from bench.delivery import body_of, delta_times_s
from bench.exchange import Broken, Parts, Stream, dial
from bench.flock import held, release
from bench.pictures import photos
from bench.plan import Plan
from bench.shape import Shape
from bench.site import Site

MILLI = 1e3
UNDER_WAY_S = 0.2
"""After which all streams have had their first deltas."""

UPLOADS_S = 60.0
"""Longest that all of them may take: then something is broken."""


async def intake(site: Site, plan: Plan) -> dict[str, float]:
    """Pause of the loop, gap in the streams, and time until all are through; this service only."""
    if not site.probed:
        return {}
    with site.probed() as (started, probe_port):
        own = replace(site, pid=started.pid, port=started.port)
        return await _while_streams_run(own, probe_port, plan)


async def _while_streams_run(site: Site, probe_port: int, plan: Plan) -> dict[str, float]:
    pictures = photos(plan.intake_size)
    requests = [site.face.upload(site.number(), picture) for picture in pictures]
    shape = Shape(plan.intake_deltas, plan.interval_s, held=True)
    flock = await held(site, shape, site.streams(plan.intake_streams))
    figures: dict[str, float] = {}

    async def upload_all() -> None:
        await site.answer_with(Shape(plan.search_deltas))
        await asyncio.sleep(UNDER_WAY_S)
        await _pause_ms(probe_port)
        began_s = time.perf_counter()
        async with asyncio.timeout(UPLOADS_S):
            await asyncio.gather(*(_upload(site.port, parts) for parts in requests))
        ended_s = time.perf_counter()
        if any(stream.ended.done() for stream in flock.streams):
            raise Broken("the streams were at their ends before all pictures were through")
        figures["intake_loop_pause_ms"] = await _pause_ms(probe_port)
        figures["intake_ms"] = (ended_s - began_s) * MILLI
        figures["intake_stream_gap_ms"] = _longest_gap_s(flock.streams, began_s, ended_s) * MILLI

    await release(flock, upload_all)
    return figures


async def _upload(port: int, parts: Parts) -> None:
    """Send a photo, on a connection of its own, and see its search completed."""
    caller = await dial(port)
    try:
        answer = json.loads(body_of(await caller.ask(parts)))
    finally:
        caller.close()
    if answer["status"] != "completed":
        raise Broken(f"a search with a photo is {answer['status']}")


async def _pause_ms(probe_port: int) -> float:
    """The longest that the service's loop came late since this was last asked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", probe_port)
    told = await reader.read()
    writer.close()
    return float(told)


def _longest_gap_s(streams: Sequence[Stream], began_s: float, ended_s: float) -> float:
    """Of all gaps between two deltas of a stream, of which a part is in this stretch of time."""
    return max(
        after - before
        for stream in streams
        for before, after in pairwise(delta_times_s(stream))
        if after > began_s and before < ended_s
    )
