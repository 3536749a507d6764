import pytest

from app.errors import (
    ImageUnfetchable,
    ServiceError,
    UpstreamAccount,
    UpstreamInterrupted,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamReport,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.upstream.retry import ConnectFailed, ConnectTimeout, RetryPolicy

POLICY = RetryPolicy(retries=9, total_s=100)
BUSY = UpstreamRateLimited("busy")
BURST = UpstreamRateLimited("busy", upstream=UpstreamReport(429, "Throttling.BurstRate"))
CHAT_BURST = UpstreamRateLimited("busy", upstream=UpstreamReport(429, "limit_burst_rate"))


def wait(
    error: ServiceError,
    *,
    attempt: int = 1,
    elapsed_s: float = 0,
    luck: float = 0,
    policy: RetryPolicy = POLICY,
) -> float | None:
    return policy.wait_s(error, attempt=attempt, elapsed_s=elapsed_s, random=lambda: luck)


@pytest.mark.parametrize("error", [BUSY, ConnectFailed("refused"), ConnectTimeout("slow")])
def test_what_was_not_served_is_tried_again(error: ServiceError) -> None:
    assert wait(error) == 0.25


@pytest.mark.parametrize(
    "error",
    [
        UpstreamUnavailable("reset, or a 500"),
        UpstreamTimeout("read time-out"),
        UpstreamInterrupted("mid-stream"),
        UpstreamProtocol("nonsense"),
        UpstreamAccount("overdue"),
        ImageUnfetchable("download timed out", retryable=True),
    ],
)
def test_what_may_have_been_billed_or_cannot_succeed_is_not(error: ServiceError) -> None:
    assert wait(error) is None


def test_a_call_that_was_never_sent_cannot_be_billed() -> None:
    assert not ConnectTimeout("slow").may_be_billed
    assert not ConnectFailed("refused").may_be_billed


def test_pauses_double_up_to_the_cap() -> None:
    assert [wait(BUSY, attempt=n, luck=1) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, 8]


def test_half_of_a_pause_is_chance() -> None:
    assert wait(BUSY, attempt=4, luck=0) == 2
    assert wait(BUSY, attempt=4, luck=0.5) == 3


@pytest.mark.parametrize("error", [BURST, CHAT_BURST])
def test_a_burst_is_answered_by_a_slower_ramp(error: ServiceError) -> None:
    assert [wait(error, attempt=n, luck=1) for n in range(1, 5)] == [2, 4, 8, 8]


def test_there_are_no_more_tries_than_allowed() -> None:
    policy = RetryPolicy(retries=2, total_s=100)
    assert wait(BUSY, attempt=2, policy=policy) is not None
    assert wait(BUSY, attempt=3, policy=policy) is None
    assert wait(BUSY, policy=RetryPolicy(retries=0, total_s=100)) is None


def test_no_try_begins_after_the_total() -> None:
    assert wait(BUSY, elapsed_s=99.5, luck=1) == 0.5
    assert wait(BUSY, elapsed_s=99.6, luck=1) is None


def test_a_total_of_zero_is_no_limit() -> None:
    assert wait(BUSY, elapsed_s=9_999, policy=RetryPolicy(retries=1, total_s=0)) == 0.25


def test_retry_after_is_the_least_wait() -> None:
    assert wait(UpstreamRateLimited("busy", retry_after_s=30)) == 30
    assert wait(UpstreamRateLimited("busy", retry_after_s=0)) == 0.25


def test_a_retry_after_that_does_not_fit_gives_up() -> None:
    assert wait(UpstreamRateLimited("busy", retry_after_s=101)) is None
