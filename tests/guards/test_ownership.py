import pytest

from app.errors import InvalidRequest
from app.guards.ownership import ID_MAX_CHARS, Ownership
from tests.guards.setups import Clock


def belongs(responses: Ownership, response_id: str, client: str) -> bool:
    try:
        responses.check(response_id, client)
    except InvalidRequest:
        return False
    return True


def test_a_response_belongs_to_who_got_it_and_exists_for_nobody_else(clock: Clock) -> None:
    responses = Ownership(ttl_s=60, clock=clock)
    responses.claim("resp_1", "shop")
    assert belongs(responses, "resp_1", "shop")
    assert not belongs(responses, "resp_1", "blog")
    assert not belongs(responses, "resp_2", "shop")
    with pytest.raises(InvalidRequest) as refused:
        responses.check("resp_1", "blog")
    assert [error.field for error in refused.value.fields] == ["previous_response_id"]


def test_the_first_claim_stands(clock: Clock) -> None:
    responses = Ownership(ttl_s=60, clock=clock)
    for client in ("shop", "blog", "shop"):
        responses.claim("resp_1", client)
    assert belongs(responses, "resp_1", "shop")
    assert not belongs(responses, "resp_1", "blog")


@pytest.mark.parametrize(("ttl_s", "kept_s"), [(60, 59.9), (0, 1e12)])
def test_it_is_kept_for_its_time(clock: Clock, ttl_s: float, kept_s: float) -> None:
    responses = Ownership(ttl_s=ttl_s, clock=clock)
    responses.claim("resp_1", "shop")
    began = clock.now
    clock.now = began + kept_s
    assert belongs(responses, "resp_1", "shop")
    clock.now = began + ttl_s
    assert belongs(responses, "resp_1", "shop") is (ttl_s == 0)
    assert len(responses) == (ttl_s == 0)


def test_what_is_too_old_is_dropped_by_the_next_claim(clock: Clock) -> None:
    responses = Ownership(ttl_s=60, clock=clock)
    for number in range(1_000):
        responses.claim(f"resp_{number}", "shop")
        clock.now += 1
    assert len(responses) == 60


def test_memory_is_bounded_by_forgetting_the_oldest(clock: Clock) -> None:
    responses = Ownership(ttl_s=0, max_entries=3, clock=clock)
    for number in range(5):
        responses.claim(f"resp_{number}", "shop")
    assert len(responses) == 3
    kept = [belongs(responses, f"resp_{number}", "shop") for number in range(5)]
    assert kept == [False, False, True, True, True]


def test_an_id_that_no_request_could_name_is_not_kept(clock: Clock) -> None:
    responses = Ownership(ttl_s=0, clock=clock)
    responses.claim("r" * ID_MAX_CHARS, "shop")
    responses.claim("r" * (ID_MAX_CHARS + 1), "shop")
    assert len(responses) == 1
