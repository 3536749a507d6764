"""The loads, each a function from a subject in its place to figures. Units are in their names.

A figure that a subject cannot have (CPU of no proxy) is left out.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from bench.calls import closed_loop, first_event_s
from bench.delivery import quantile
from bench.exchange import Broken
from bench.faces import Responses
from bench.flock import Flock, at_once, held, release
from bench.intake import intake
from bench.pictures import jpeg
from bench.plan import Plan
from bench.shape import Shape
from bench.site import Site

Figures = dict[str, float]
Measure = Callable[[Site, Plan], Coroutine[Any, Any, Figures]]

MICRO, MILLI = 1e6, 1e3
MB, KB = 1e6, 1e3
REST_S = 0.5
"""Before memory is read, for what ends late."""


async def idle(site: Site, plan: Plan) -> Figures:
    """Memory at rest, and of every stream that is open and silent. First, while all is fresh."""
    if not site.pid:
        return {}
    await asyncio.sleep(REST_S)
    at_rest = site.memory_bytes()
    shape = Shape(deltas=4, held=True)
    await release(await held(site, shape, site.streams(plan.warm_streams)))
    await asyncio.sleep(REST_S)
    before = site.memory_bytes()
    flock = await held(site, shape, site.streams(plan.idle_streams))
    await asyncio.sleep(REST_S)
    grown = site.memory_bytes() - before
    await release(flock)
    return {"idle_mb": at_rest / MB, "stream_kb": grown / KB / plan.idle_streams}


async def first_event(site: Site, plan: Plan) -> Figures:
    """Time to the first event of a single stream, turn by turn with a call straight upstream."""
    await site.answer_with(Shape(deltas=4))
    straight, through = [], []
    face = Responses()
    for _ in range(plan.first_events):
        straight.append(await first_event_s(site.upstream_port, face, site.number()) * MILLI)
        through.append(await first_event_s(site.port, site.face, site.number()) * MILLI)
    figures = {}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        figures[f"first_event_{name}_ms"] = quantile(through, share)
        if site.pid:
            added = quantile(through, share) - quantile(straight, share)
            figures[f"first_event_added_{name}_ms"] = added
    return figures


async def readers(site: Site, plan: Plan) -> Figures:
    """Many readers of one search, which this service joins; others run as many streams."""
    shape = Shape(plan.deltas, plan.interval_s / 2, held=True)
    number = site.number()
    flock = await held(site, shape, [site.face.stream(number)] * plan.readers)
    await release(flock)
    return _cpu("readers_cpu_us_per_event", flock)


async def paced(site: Site, plan: Plan) -> Figures:
    """CPU of every event at a steady pace, and what upstream and load took for it themselves."""
    shape = Shape(plan.deltas, plan.interval_s, held=True)
    flock = await held(site, shape, site.streams(plan.streams))
    await release(flock)
    spent = flock.feeding
    own = {
        "upstream_cpu_us_per_event": spent.upstream_s * MICRO / flock.events,
        "load_cpu_us_per_event": spent.load_s * MICRO / flock.events,
        "load_core_percent": (spent.upstream_s + spent.load_s) / spent.wall_s * 100,
        "upstream_late_ms": await site.upstream_late_ms(),
    }
    if site.pid:
        opening_ms = flock.opening.subject_s * MILLI / plan.streams
        own |= {"open_cpu_ms_per_stream": opening_ms}
        own |= {"core_percent": spent.subject_s / spent.wall_s * 100}
    return _cpu("cpu_us_per_event", flock) | own


async def burst(site: Site, plan: Plan) -> Figures:
    """Everything at once: what the upstream has written in one piece."""
    shape = Shape(plan.burst_deltas, held=True)
    flock = await held(site, shape, site.streams(plan.burst_streams))
    await release(flock)
    return _cpu("burst_cpu_us_per_event", flock) | {"burst_ms": flock.feeding.wall_s * MILLI}


async def ladder(site: Site, plan: Plan) -> Figures:
    """The most streams of which none stalls, all of them open before their first delta."""
    shape = Shape(plan.ladder_deltas, plan.interval_s, held=True)

    async def stalls(count: int) -> int:
        flock = await held(site, shape, site.streams(count))
        await release(flock)
        return flock.stalled

    return {"stall_free_streams": await _climb(plan.ladder, stalls)}


async def flood(site: Site, plan: Plan) -> Figures:
    """The same with all streams opened within one interval, while the first ones run already."""
    shape = Shape(plan.ladder_deltas, plan.interval_s)
    p99_ms = []

    async def stalls(count: int) -> int:
        flock = await at_once(site, shape, site.streams(count))
        if count == plan.streams:
            p99_ms.append(quantile(flock.first_event_s, 0.99) * MILLI)
        return flock.stalled

    figures: Figures = {"stall_free_flood_streams": await _climb(plan.flood, stalls)}
    return figures | ({"flood_first_event_p99_ms": p99_ms[0]} if p99_ms else {})


async def searches(site: Site, plan: Plan) -> Figures:
    """`POST /search`, or the nearest to it, asked again and again."""
    shape = Shape(plan.search_deltas)
    text = shape.text.encode()
    await site.answer_with(shape)
    figures = {}
    for callers in plan.callers:
        calls = await closed_loop(
            site, site.face.search, callers=callers, seconds=plan.search_s, text=text
        )
        figures[f"search_{callers}_per_s"] = calls.per_s
        figures[f"search_{callers}_p50_ms"] = quantile(calls.latencies_s, 0.5) * MILLI
        if site.pid:
            figures[f"search_{callers}_cpu_ms"] = calls.cpu_ms
    return figures


async def uploads(site: Site, plan: Plan) -> Figures:
    """Pictures that need no work, which must arrive as they were."""
    shape = Shape(plan.search_deltas)
    text = shape.text.encode()
    await site.answer_with(shape)
    figures = {}
    for n_bytes in plan.uploads_bytes:
        picture = jpeg(n_bytes)
        ask = partial(site.face.upload, jpeg=picture)
        for callers in plan.upload_callers:
            calls = await closed_loop(site, ask, callers=callers, seconds=plan.upload_s, text=text)
            if await site.picture_sha256() != hashlib.sha256(picture).hexdigest():
                raise Broken(f"a picture of {n_bytes} bytes was changed on its way")
            figures[f"upload_{n_bytes / MB:g}mb_{callers}_per_s"] = calls.per_s
            if site.pid:
                figures[f"upload_{n_bytes / MB:g}mb_{callers}_cpu_ms"] = calls.cpu_ms
    return figures


MEASURES: dict[str, Measure] = {
    measure.__name__: measure
    for measure in (
        idle,
        first_event,
        readers,
        paced,
        burst,
        ladder,
        flood,
        searches,
        uploads,
        intake,
    )
}
"""By name, in the order in which they run."""


def _cpu(name: str, flock: Flock) -> Figures:
    if not flock.site.pid:
        return {}
    return {name: flock.feeding.subject_s * MICRO / flock.events}


async def _climb(ladder: tuple[int, ...], stalls: Callable[[int], Awaitable[int]]) -> int:
    """The highest step reached; one that fails is tried once more, for this machine is shared."""
    best = 0
    for count in ladder:
        if await stalls(count) and await stalls(count):
            break
        best = count
    return best
