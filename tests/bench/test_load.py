"""Upstream and load of the bench, in small and straight at one another; nothing here is timed."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.upstream.sse import Decoder
from bench.baseline import plain_uploads
from bench.children import announced
from bench.delivery import check, gaps_s, quantile
from bench.exchange import Broken, Stream
from bench.faces import Responses
from bench.flock import at_once, held, release
from bench.measures import MEASURES
from bench.pictures import jpeg
from bench.plan import Plan
from bench.shape import Shape, blocks, encode
from bench.site import Site
from bench.upstream import STREAM_HEAD

CORE = min(os.sched_getaffinity(0))
PACED = Shape(deltas=5, interval_s=0.01, held=True)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Nothing but the upstream."""
    with announced("bench.upstream", core=CORE, log=tmp_path / "log") as (pid, port):
        yield Site(Responses(), None, port, pid, port)


def test_every_event_of_every_stream_arrives(site: Site) -> None:
    async def run() -> None:
        flock = await held(site, PACED, site.streams(8))
        assert not any(stream.ended.done() for stream in flock.streams)
        await release(flock)
        assert flock.events == 8 * 9
        assert flock.feeding.upstream_s > 0

    asyncio.run(run())


@pytest.mark.parametrize("interval_s", [0, 0.005])
def test_streams_opened_at_once_arrive_too(site: Site, interval_s: float) -> None:
    flock = asyncio.run(at_once(site, Shape(6, interval_s), site.streams(4)))
    assert len(flock.first_event_s) == 4


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_runs_in_small(site: Site, name: str) -> None:
    plan = Plan(
        streams=3,
        interval_s=0.002,
        deltas=3,
        ladder=(2,),
        flood=(2,),
        ladder_deltas=3,
        burst_streams=2,
        burst_deltas=3,
        callers=(2,),
        search_s=0.01,
        uploads_bytes=(70_000,),
        upload_callers=(2,),
        upload_s=0.01,
        first_events=2,
    )
    figures = asyncio.run(MEASURES[name](site, plan))
    assert all(value >= 0 for value in figures.values())


def test_the_plain_program_answers_every_byte(tmp_path: Path) -> None:
    plan = Plan(uploads_bytes=(70_000,), upload_s=0.01)
    assert plain_uploads(plan, core=CORE, folder=tmp_path)["upload_0.07mb_1_cpu_ms"] > 0


def test_the_upstream_s_events_are_read_by_the_service_s_decoder() -> None:
    shape = Shape(deltas=3)
    frames = Decoder(65_536).feed(b"".join(blocks(shape)))
    assert len(frames) == shape.events
    assert frames[0].type == "response.created"
    assert frames[-1].type == "response.completed"
    assert {frame.http_status for frame in frames} == {200}


def brought(*pieces: bytes) -> Stream:
    """A stream that has ended with these bytes, one piece a second."""

    async def make() -> Stream:
        return Stream()

    stream = asyncio.run(make())
    stream.pieces, stream.times = list(pieces), [float(n) for n in range(len(pieces))]
    return stream


SHAPE = Shape(deltas=3)
WIRE = encode(SHAPE)
LAST = Responses.last


def test_a_whole_stream_passes() -> None:
    check(brought(STREAM_HEAD, WIRE.opening, *WIRE.deltas, WIRE.closing), SHAPE, LAST)


@pytest.mark.parametrize(
    "pieces",
    [
        (STREAM_HEAD, WIRE.opening, *WIRE.deltas[:2], WIRE.closing),
        (STREAM_HEAD, WIRE.opening, *WIRE.deltas[::-1], WIRE.closing),
        (STREAM_HEAD, WIRE.opening, *WIRE.deltas, WIRE.deltas[0], WIRE.closing),
        (STREAM_HEAD, WIRE.opening, *WIRE.deltas),
        (STREAM_HEAD, WIRE.opening, *WIRE.deltas, b"0\r\n\r\n"),
        (STREAM_HEAD, WIRE.closing.removesuffix(b"0\r\n\r\n"), *WIRE.deltas, b"0\r\n\r\n"),
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",),
        (),
    ],
    ids=["lost", "disordered", "doubled", "cut", "no end", "end too early", "refused", "nothing"],
)
def test_a_stream_that_is_not_whole_is_told(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(Broken):
        check(brought(*pieces), SHAPE, LAST)


def test_gaps_are_those_between_deltas_and_since_their_release() -> None:
    stream = brought(STREAM_HEAD, WIRE.opening, *WIRE.deltas, WIRE.closing)
    assert gaps_s(stream) == [0, 1, 1]
    assert gaps_s(stream, since_s=-5.0) == [7, 1, 1]


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.99, 4), (0.25, 1)])
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert quantile([4, 2, 1, 3], share) == value


def test_a_picture_is_near_the_size_that_was_asked_for() -> None:
    assert len(jpeg(100_000)) == pytest.approx(100_000, rel=0.05)


@pytest.mark.parametrize(
    ("env", "repeats", "streams"),
    [({}, 3, 200), ({"BENCH_REPEATS": "7"}, 7, 200), ({"BENCH_QUICK": "1"}, 1, 20)],
)
def test_the_environment_chooses_how_much(env: Any, repeats: int, streams: int) -> None:
    plan = Plan.read(env)
    assert (plan.repeats, plan.streams) == (repeats, streams)
