"""Large events: what passes, what does not, and what memory they take on the way."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.asking import IMAGE_URL, WAYS, Way, ask
from tests.service import KEY, Running, running

LIMIT_BYTES = 4_194_304
"""`UPSTREAM_MAX_EVENT_BYTES` as shipped."""
SMALL_BYTES = 262_144
MIB = 2**20


@contextmanager
def peak_bytes(most: int) -> Iterator[None]:
    """Everything in this process counts: the service, the stand-in and the client."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most


async def sent_for(service: Running, prompt: str) -> list[str]:
    """The data of all events as the upstream sends them, asked for without the service."""
    content = [
        {"type": "input_text", "text": prompt},
        {"type": "input_image", "image_url": IMAGE_URL},
    ]
    answer = await service.http.post(
        service.service.settings.base_url + "/responses",
        headers={"Authorization": f"Bearer {KEY}"},
        json={
            "model": "qwen3.7-plus",
            "input": [{"role": "user", "content": content}],
            "tools": [{"type": "image_search"}],
            "stream": True,
        },
    )
    lines = answer.text.split("\n")
    return [line.removeprefix("data:") for line in lines if line.startswith("data:")]


@pytest.mark.parametrize("way", ["POST /search/stream", "GET /search/stream"])
@pytest.mark.parametrize("size", [3_000_000, LIMIT_BYTES - 1_000])
async def test_an_event_of_megabytes_is_relayed_byte_for_byte(size: int, way: Way) -> None:
    prompt = f"[sim big_event bytes={size} seed=7]"
    async with running() as service:
        told = await ask(service, way, prompt)
        sent = await sent_for(service, prompt)
    assert told.verdict == ("completed", None)
    assert [data for _, data in told.relayed] == sent
    assert max(len(data.encode()) for data in sent) >= size - 3


async def test_an_event_of_megabytes_does_no_harm_to_a_plain_search() -> None:
    async with running(cache_ttl_s=0) as service:
        plain = await ask(service, "POST /search", "[sim normal seed=7]")
        told = await ask(service, "POST /search", "[sim big_event bytes=3000000 seed=7]")
    assert (told.status, told.calls) == (200, 1)
    for name in ("results", "searches", "outcome", "status"):
        assert told.result[name] == plain.result[name]
    assert plain.result["text"] in told.result["text"]


@pytest.mark.parametrize("way", WAYS)
async def test_an_event_over_the_limit_ends_the_search(way: Way) -> None:
    async with running() as service:
        told = await ask(service, way, f"[sim big_event bytes={LIMIT_BYTES + 1}]")
        assert told.verdict == ("upstream_protocol", False)
        assert (told.problem["status"], told.calls) == (502, 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("limit", "most"), [(LIMIT_BYTES, 8 * MIB), (SMALL_BYTES, 2 * MIB)])
async def test_memory_stays_bounded_while_an_endless_event_arrives(
    limit: int, most: int, way: Way
) -> None:
    """The stand-in would send 64 MiB of it."""
    async with running(upstream_max_event_bytes=limit, cache_ttl_s=0) as service:
        await ask(service, way, "What all of it needs once.")
        with peak_bytes(most):
            told = await ask(service, way, "[sim event_without_end bytes=65536]")
        assert told.verdict == ("upstream_protocol", False)
        assert service.record.calls[-1].finished == "client_gone"


@pytest.mark.parametrize("way", WAYS)
async def test_memory_stays_bounded_while_an_answer_never_ends(way: Way) -> None:
    """Small events without end, up to `SEARCH_MAX_BYTES`: then what had come is told."""
    limits = {"upstream_max_event_bytes": SMALL_BYTES, "search_max_bytes": 4 * SMALL_BYTES + MIB}
    async with running(**limits, cache_ttl_s=0) as service:  # type: ignore[arg-type] # no Knobs
        await ask(service, way, "What all of it needs once.")
        with peak_bytes(40 * MIB):
            told = await ask(service, way, "[sim endless bytes=10000]")
        assert told.verdict == ("upstream_protocol", False)
        assert told.result["warnings"] == ["partial"]
        assert service.record.calls[-1].finished == "client_gone"


async def test_an_answer_that_never_ends_is_over_soon_with_the_limits_as_shipped() -> None:
    """Some thirty thousand events, whose text is summed up once, and not once an event."""
    async with running() as service:
        told = await ask(service, "POST /search", "[sim endless bytes=1000]")
        assert told.verdict == ("upstream_protocol", False)
        assert len(told.result["text"]) > 20 * MIB
