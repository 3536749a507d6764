"""The measures: each a load, and the figures that come of it. Units are in the figures' names."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median, quantiles
from typing import Any

from bench.client import Client, Request, WrongAnswer, ask_once
from bench.pictures import jpeg, photos
from bench.processes import main_thread_s
from bench.running import Running, Streams, delta_times_s
from bench.subjects import RESPONSES, Api, bodies
from bench.upstream import AHEAD, BEHIND, Answer

MICRO, MILLI, MB, KB = 1e6, 1e3, 1e6, 1e3
REST_S = 0.5  # for work that was put off
ANSWER_S = 120.0  # the longest wait for one answer
PING = [b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"]
PING_EVERY_S = 0.001
UNDER_WAY_S = 0.2  # after which all streams have had their first deltas
ENVELOPE_BYTES = 4_096  # the most that the upstream gets around a picture


@dataclass(frozen=True, slots=True)
class Plan:
    """Loads and lengths; times in seconds, uploads in bytes, photos in pixels."""

    repeats: int = 3
    streams: int = 200
    interval_s: float = 0.02
    deltas: int = 200
    whole_deltas: int = 90
    ladder: tuple[int, ...] = (25, 50, 100, 200, 300, 400, 500, 600, 800, 1000, 1200)
    ladder_deltas: int = 64
    callers: tuple[int, ...] = (1, 32, 256)
    search_s: float = 2.5
    search_deltas: int = 16
    uploads_bytes: tuple[int, ...] = (200_000, 2_000_000, 7_000_000)
    upload_callers: tuple[int, ...] = (1, 16)
    upload_s: float = 2
    idle_streams: int = 500
    warm_streams: int = 20
    first_events: int = 200
    intake_size: tuple[int, int] = (4_000, 3_000)
    intake_streams: int = 20
    intake_deltas: int = 500


QUICK: dict[str, Any] = (
    {"repeats": 1, "streams": 20, "deltas": 20, "whole_deltas": 9, "ladder": (2, 5)}
    | {"ladder_deltas": 6, "callers": (1, 3), "search_s": 0.25, "upload_callers": (1,)}
    | {"upload_s": 0.2, "idle_streams": 50, "warm_streams": 2, "first_events": 20}
    | {"intake_size": (400, 300), "intake_streams": 2}
)
"""What a plan for a quick look has instead; it proves nothing."""

Figures = dict[str, float]
Ping = tuple[float, float]  # until its answer, and CPU of the event loop meanwhile; seconds


async def idle(target: Running, plan: Plan) -> Figures:
    """Memory at rest, and of each stream that is open and silent. First, while all is fresh."""
    await asyncio.sleep(REST_S)
    figures = {"idle_mb": target.memory_bytes() / MB}
    figures["idle_main_mb"] = target.memory_bytes(children=False) / MB
    for count in (plan.warm_streams, plan.idle_streams):
        before = target.memory_bytes()
        streams = await Streams.open(target, Answer(deltas=4, held=True), count)
        await asyncio.sleep(REST_S)
        figures["stream_kb"] = (target.memory_bytes() - before) / KB / count
        await streams.finish()
        await asyncio.sleep(REST_S)
    return figures


async def first_event(target: Running, plan: Plan) -> Figures:
    """Time to a single stream's first event, in turns with a request straight to the upstream."""
    await target.set_answer(Answer(deltas=4))
    straight, through, upstream = list[float](), list[float](), Api(RESPONSES)
    for request in target.streams(plan.first_events):
        direct = upstream.search(next(target.numbers), stream=True)
        ways = (target.upstream_port, direct, straight), (target.port, request, through)
        for port, one, times in ways:
            with closing(await Client.connect(port)) as client:
                async with asyncio.timeout(ANSWER_S):
                    await client.open(one)
                    await client.ended.wait()
            times.append((client.first_event_s - client.asked_s) * MILLI)
    figures = {}
    for percent in (50, 99):
        before, after = (quantiles(times, n=100)[percent - 1] for times in (straight, through))
        figures[f"first_event_p{percent}_ms"] = after
        figures[f"first_event_added_p{percent}_ms"] = after - before
    return figures


async def paced(target: Running, plan: Plan) -> Figures:
    """CPU of an event at a steady pace, and what upstream and load generator took themselves."""
    answer = Answer(plan.deltas, plan.interval_s, held=True)
    streams = await Streams.open(target, answer, plan.streams)
    await streams.finish()
    spent = streams.feeding
    us_per_event = MICRO / (plan.streams * (plan.deltas + BEHIND))
    return {
        "upstream_cpu_us_per_event": spent.upstream_s * us_per_event,
        "load_cpu_us_per_event": spent.load_s * us_per_event,
        "load_core_percent": (spent.upstream_s + spent.load_s) / spent.wall_s * 100,
        "upstream_late_ms": (await target.control("GET /stats"))["late_ms"],
        "cpu_us_per_event": spent.subject_s * us_per_event,
        "open_cpu_ms_per_stream": streams.opening.subject_s * MILLI / plan.streams,
        "core_percent": spent.subject_s / spent.wall_s * 100,
    }


async def whole(target: Running, plan: Plan) -> Figures:
    """Whole searches opened at once: CPU of an event with its share of the opening and the end."""
    answer = Answer(plan.whole_deltas, plan.interval_s)
    streams = await Streams.open(target, answer, plan.streams)
    await streams.finish()
    events = plan.streams * (AHEAD + plan.whole_deltas + BEHIND)
    cpu_s = streams.opening.subject_s + streams.feeding.subject_s
    return {"whole_cpu_us_per_event": cpu_s * MICRO / events}


async def ladder(target: Running, plan: Plan) -> Figures:
    """The most streams of which none stalls; a step that fails is tried once more."""

    async def stalls(count: int) -> bool:
        answer = Answer(plan.ladder_deltas, plan.interval_s, held=True)
        streams = await Streams.open(target, answer, count)
        await streams.finish()
        return streams.stalled > 0

    best = 0
    for count in plan.ladder:
        if await stalls(count) and await stalls(count):
            break
        best = count
    return {"stall_free_streams": best}


async def searches(target: Running, plan: Plan) -> Figures:
    """`POST /search`, or the nearest to it, asked again and again by so many callers."""
    figures, ask = Figures(), target.subject.api.search
    for callers in plan.callers:
        found = await _closed_loop(target, plan, ask, callers=callers, seconds=plan.search_s)
        figures |= {f"search_{callers}_{name}": value for name, value in found.items()}
    return figures


async def uploads(target: Running, plan: Plan) -> Figures:
    """Pictures that need no work, which must arrive in their size."""
    figures: Figures = {}
    for n_bytes in plan.uploads_bytes:
        picture = jpeg(n_bytes)
        ask = partial(target.subject.api.upload, picture=picture)
        for callers in plan.upload_callers:
            found = await _closed_loop(target, plan, ask, callers=callers, seconds=plan.upload_s)
            body_bytes = (await target.control("GET /stats"))["body_bytes"]
            # A data URL has four characters for three bytes.
            if not 0 < body_bytes - len(picture) * 4 / 3 < ENVELOPE_BYTES:
                raise WrongAnswer(f"a picture of {n_bytes} bytes was changed on its way")
            name = f"upload_{n_bytes / MB:g}mb_{callers}"
            figures |= {f"{name}_{unit}": found[unit] for unit in ("per_s", "cpu_ms")}
    return figures


async def intake(target: Running, plan: Plan) -> Figures:
    """The longest wait of a `GET /healthz` and in a stream, and the time for all photos."""
    made = photos(plan.intake_size)
    uploads = [target.subject.api.upload(next(target.numbers), photo) for photo in made]
    answer = Answer(plan.intake_deltas, plan.interval_s, held=True)
    streams = await Streams.open(target, answer, plan.intake_streams)
    times_s, pings = list[float](), list[Ping]()

    async def upload_all() -> None:
        await target.set_answer(Answer(plan.search_deltas))
        await asyncio.sleep(UNDER_WAY_S)
        times_s.append(time.perf_counter())
        async with _pinging(target, pings), asyncio.timeout(ANSWER_S):
            answers = await asyncio.gather(*(ask_once(target.port, upload) for upload in uploads))
        times_s.append(time.perf_counter())
        if any(json.loads(answer)["status"] != "completed" for answer in answers):
            raise WrongAnswer("a search with a photo was not completed")
        if any(client.ended.is_set() for client in streams.clients):
            raise WrongAnswer("the streams ended before all photos were searched")

    await streams.finish(upload_all)
    began_s, ended_s = times_s
    gaps_s = [
        after - before
        for client in streams.clients
        for before, after in pairwise(delta_times_s(client))
        if after > began_s and before < ended_s
    ]
    return {
        "intake_loop_pause_ms": max(pings)[0] * MILLI,
        "intake_ms": (ended_s - began_s) * MILLI,
        "intake_stream_gap_ms": max(gaps_s) * MILLI,
    }


async def bounds(target: Running, _: Plan) -> Figures:
    """The longest pause with each body that is as large as a bound allows, whatever its answer."""
    figures: Figures = {}
    await target.set_answer(Answer(deltas=4))
    for name, asked in bodies():
        pings = list[Ping]()
        async with _pinging(target, pings), asyncio.timeout(ANSWER_S):
            with suppress(WrongAnswer):  # It may be refused.
                await ask_once(target.port, asked)
        # What others took of the core meanwhile was not spent in the event loop.
        figures[f"bound_{name}_pause_ms"] = max(map(min, pings)) * MILLI
    return figures | {"bound_pause_ms": max(figures.values())}


MEASURES: dict[str, Callable[[Running, Plan], Coroutine[Any, Any, Figures]]] = {
    measure.__name__: measure
    for measure in (idle, first_event, paced, whole, ladder, searches, uploads, intake, bounds)
}
"""By name, in the order in which they run."""
OF_THE_SERVICE = {"intake", "bounds"}


async def _closed_loop(
    target: Running, plan: Plan, ask: Callable[[int], Request], *, callers: int, seconds: float
) -> Figures:
    """Let `callers` ask for so long, again as soon as they are answered."""
    answer = Answer(plan.search_deltas)
    await target.set_answer(answer)
    text, times_s = answer.text.encode(), list[float]()
    clients = [await Client.connect(target.port) for _ in range(callers)]

    async def call(client: Client) -> None:
        while time.perf_counter() < until_s:
            body = await client.ask(ask(next(target.numbers)))
            times_s.append(time.perf_counter() - client.asked_s)
            if text not in body:
                raise WrongAnswer(f"the answer is not whole: …{body[-300:]!r}")

    with target.spending() as spent:
        until_s = time.perf_counter() + seconds
        async with asyncio.timeout(seconds + ANSWER_S), asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(call(client))
    for client in clients:
        client.close()
    cpu_ms = spent.subject_s * MILLI / len(times_s)
    per_s, p50_ms = len(times_s) / spent.wall_s, median(times_s) * MILLI
    return {"per_s": per_s, "p50_ms": p50_ms, "cpu_ms": cpu_ms}


@asynccontextmanager
async def _pinging(target: Running, pings: list[Ping]) -> AsyncIterator[None]:
    """Ask for the health again and again; note how long each answer took."""

    async def ping() -> None:
        while True:
            before_s = main_thread_s(target.pid)
            await client.ask(PING)
            took_s = time.perf_counter() - client.asked_s
            pings.append((took_s, main_thread_s(target.pid) - before_s))
            await asyncio.sleep(PING_EVERY_S)

    with closing(await Client.connect(target.port)) as client:
        task = asyncio.create_task(ping())
        yield
        await asyncio.sleep(REST_S)  # for the answer to the last one
        task.cancel()
