"""Every refusal that the upstream has words for, in each of its envelopes, to each caller."""

from collections.abc import AsyncGenerator

import pytest

from simulator.refusals import REFUSALS
from tests.e2e.asking import WAYS, Told, Way, ask
from tests.e2e.refusal_table import MEANINGS, Means
from tests.service import Running, running

FORMS = ("http", "nested", "sse", "failed")
"""Of a refusal in place of an answer: three bodies, and a lone `response.failed` in HTTP 200."""
BURST = {"burst_rate", "burst_rate_compat"}
COMMIT_S = 30
"""Longer than all pauses between tries, which the signs of life would only clutter."""


@pytest.fixture(scope="module", name="service")
async def open_service() -> AsyncGenerator[Running, None]:
    async with running(cache_ttl_s=0, stream_commit_s=COMMIT_S, stream_progress_s=0) as service:
        yield service


def test_every_refusal_has_one_row() -> None:
    assert sorted(MEANINGS) == sorted(REFUSALS)


@pytest.mark.parametrize("row", MEANINGS)
async def test_a_refusal_means_the_same_in_every_envelope(row: str, service: Running) -> None:
    means = MEANINGS[row]
    for form in FORMS:
        for way in WAYS:
            told = await ask(service, way, f"[sim error row={row} as={form}]")
            assert_told(told, row, f"{row} as {form} to {way}")
            assert told.calls == means.tries, (row, form, way)
            relayed = ["response.failed"] if form == "failed" else []
            if way == "GET /search/stream":
                assert told.names == ["search.created", *relayed, "search.failed"]
            else:
                assert told.status == means.status, (row, form, way)


@pytest.mark.parametrize("row", MEANINGS)
async def test_a_refusal_in_the_middle_of_a_stream_means_the_same(
    row: str, service: Running
) -> None:
    for way in WAYS:
        told = await ask(service, way, f"[sim error row={row} as=frame after=3]")
        assert_told(told, row, f"{row} to {way}")
        assert told.calls == 1, (row, way)
        if way == "POST /search":
            assert told.status == MEANINGS[row].status
        else:
            assert [name for name, _ in told.relayed][:2] == [
                "response.created",
                "response.in_progress",
            ]
            assert len(told.relayed) == 3
            assert told.names[-1] == "search.failed"


def assert_told(told: Told, row: str, where: str) -> None:
    means, refusal, problem = MEANINGS[row], REFUSALS[row], told.problem
    assert told.verdict == (means.code, means.retryable), (where, problem)
    assert problem["status"] == means.status, where
    assert problem["type"] == f"urn:imagesearch:{means.code}"
    assert [one["field"] for one in problem.get("errors", [])] == [means.field][: bool(means.field)]
    said = problem["upstream"]
    assert (said["code"], said["message"]) == (refusal.code, refusal.message), where
    assert refusal.message not in problem["detail"], where
    assert_paused(told, row)


def assert_paused(told: Told, row: str) -> None:
    """Each pause is twice the one before, half of it by chance; throttled bursts wait longer."""
    base_s = 2.0 if row in BURST else 0.5
    assert len(told.pauses_s) == told.calls - 1
    for pause_s, most_s in zip(told.pauses_s, (base_s, base_s * 2), strict=False):
        assert most_s / 2 <= pause_s <= most_s


@pytest.mark.parametrize(
    ("words", "means"),
    [
        ("status=401 code=invalid_api_key", Means(502, "upstream_auth_failed")),
        ("status=403 code=whatever", Means(502, "upstream_auth_failed")),
        ("status=404 code=model_not_found", Means(502, "upstream_rejected")),
        ("status=418 code=whatever", Means(502, "upstream_rejected")),
        ("status=429 code=whatever", Means(503, "upstream_rate_limited", retryable=True, tries=3)),
        ("status=429 code=Arrearage", Means(502, "upstream_account")),
        ("status=500 code=whatever", Means(502, "upstream_unavailable", retryable=True)),
        ("status=502 code=whatever", Means(502, "upstream_unavailable", retryable=True)),
        ("status=503 code=whatever", Means(503, "upstream_rate_limited", retryable=True, tries=3)),
        ("status=504 code=whatever", Means(502, "upstream_unavailable", retryable=True)),
        ("status=599 code=whatever", Means(502, "upstream_unavailable", retryable=True)),
    ],
)
@pytest.mark.parametrize("way", ["POST /search", "POST /search/stream"])
async def test_a_refusal_without_known_words_goes_by_its_status(
    words: str, means: Means, way: Way, service: Running
) -> None:
    told = await ask(service, way, f"[sim nested_error {words}]")
    assert (told.status, *told.verdict) == (means.status, means.code, means.retryable)
    assert told.calls == means.tries


async def test_no_retries_means_one_call() -> None:
    async with running(upstream_retries=0) as service:
        for form in FORMS:
            told = await ask(service, "POST /search", f"[sim error row=throttling as={form}]")
            assert (told.verdict, told.calls) == (("upstream_rate_limited", True), 1)


async def test_retries_end_with_the_time_for_them() -> None:
    async with running(upstream_retries=10, upstream_retry_total_s=20) as service:
        told = await ask(service, "POST /search", "[sim http_429]")
    assert told.verdict == ("upstream_rate_limited", True)
    assert sum(told.pauses_s) <= 20
    assert 6 <= told.calls <= 9
