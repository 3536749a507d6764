"""Every refusal that the upstream has words for, in each of its envelopes, to each caller."""

from collections.abc import AsyncGenerator

import pytest

from simulator.refusals import REFUSALS
from tests.e2e.asking import WAYS, Answer, Way, ask
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
            answer = await ask(service, way, f"[sim error row={row} as={form}]")
            assert_meaning(answer, row, f"{row} as {form} to {way}")
            assert answer.calls == means.tries, (row, form, way)
            relayed = ["response.failed"] if form == "failed" else []
            if way == "GET /search/stream":
                assert answer.names == ["search.created", *relayed, "search.failed"]
            else:
                assert answer.status == means.status, (row, form, way)


@pytest.mark.parametrize("row", MEANINGS)
async def test_a_refusal_in_the_middle_of_a_stream_means_the_same(
    row: str, service: Running
) -> None:
    for way in WAYS:
        answer = await ask(service, way, f"[sim error row={row} as=frame after=3]")
        assert_meaning(answer, row, f"{row} to {way}")
        assert answer.calls == 1, (row, way)
        if way == "POST /search":
            assert answer.status == MEANINGS[row].status
        else:
            assert [name for name, _ in answer.relayed][:2] == [
                "response.created",
                "response.in_progress",
            ]
            assert len(answer.relayed) == 3
            assert answer.names[-1] == "search.failed"


def assert_meaning(answer: Answer, row: str, where: str) -> None:
    means, refusal, problem = MEANINGS[row], REFUSALS[row], answer.problem
    assert answer.outcome == (means.code, means.retryable), (where, problem)
    assert problem["status"] == means.status, where
    assert problem["type"] == f"urn:imagesearch:{means.code}"
    assert [one["field"] for one in problem.get("errors", [])] == [means.field][: bool(means.field)]
    said = problem["upstream"]
    assert (said["code"], said["message"]) == (refusal.code, refusal.message), where
    assert refusal.message not in problem["detail"], where
    if answer.calls > 1:
        # Two pauses, the second twice the first, each shortened by up to half at random.
        most_s = 6 if row in BURST else 1.5
        assert most_s / 2 - 0.2 < answer.waited_s < most_s + 0.2
    else:
        assert answer.waited_s == 0


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
    answer = await ask(service, way, f"[sim nested_error {words}]")
    assert (answer.status, *answer.outcome) == (means.status, means.code, means.retryable)
    assert answer.calls == means.tries


async def test_no_retries_means_one_call() -> None:
    async with running(upstream_retries=0) as service:
        for form in FORMS:
            answer = await ask(service, "POST /search", f"[sim error row=throttling as={form}]")
            assert (answer.outcome, answer.calls) == (("upstream_rate_limited", True), 1)


async def test_retries_end_with_the_time_for_them() -> None:
    async with running(upstream_retries=10, upstream_retry_total_s=20) as service:
        answer = await ask(service, "POST /search", "[sim http_429]")
    assert answer.outcome == ("upstream_rate_limited", True)
    assert answer.waited_s <= 20
    assert 6 <= answer.calls <= 9
