from decimal import Decimal
from typing import Any

import pytest

from app.errors import InvalidRequest, ModelNotAllowed, RateLimited
from app.guards import Guards, GuardSettings
from app.models import Client
from app.telemetry import Metrics
from tests.guards.setups import KEYS, PRICED, SECRET, SHOP, UNPRICED, Clock, make_guards


def test_requests_are_counted_by_meter_and_looked_at_without_counting(clock: Clock) -> None:
    guards = make_guards(clock=clock, rate_limit="2/minute")
    remaining = []
    for _ in range(2):
        status = guards.charge(SHOP)
        assert status
        remaining.append(status.remaining)
    assert remaining == [1, 0]
    with pytest.raises(RateLimited) as refused:
        guards.charge(SHOP)
    assert refused.value.retry_after_s == 60
    left = guards.rate_of(SHOP)
    assert left
    assert (left.remaining, left.reset_s) == (0, 60)
    other = guards.charge(Client("shop", "token:j"))
    assert other
    assert other.remaining == 1


def test_without_a_rate_nothing_is_counted() -> None:
    guards = make_guards(rate_limit="0")
    assert guards.charge(SHOP) is None
    assert guards.rate_of(SHOP) is None


def test_tools_outside_the_list_are_refused_without_echo() -> None:
    guards = make_guards(tools_allowed=["image_search", "function"])
    guards.check_tools([])
    guards.check_tools(["function", "image_search", "function"])
    with pytest.raises(InvalidRequest) as refused:
        guards.check_tools(["image_search", "canary"])
    assert refused.value.fields[0].reason == "only these are allowed: function, image_search"
    with pytest.raises(InvalidRequest, match="not allowed") as refused:
        make_guards(tools_allowed=[]).check_tools(["canary"])
    assert refused.value.fields[0].reason == "only these are allowed: none"


@pytest.mark.parametrize("limit", ["budget_client_cny_per_day", "budget_total_cny_per_day"])
def test_with_a_budget_a_model_without_a_price_is_refused(limit: str) -> None:
    limits: dict[str, Any] = {limit: Decimal(1)}
    guards = make_guards(**limits)
    assert guards.estimate_of(model=PRICED, images=1, max_output_tokens=16).cost
    with pytest.raises(ModelNotAllowed):
        guards.estimate_of(model=UNPRICED, images=1, max_output_tokens=16)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, []),
        ({"allow_anonymous": True}, ["ALLOW_ANONYMOUS"]),
        ({"budget_total_cny_per_day": Decimal(1)}, ["per process, and anew at a restart"]),
        (
            {"budget_client_cny_per_day": Decimal(1), "tools_allowed": ["web_search"]},
            ["per process, and anew at a restart", "TOOLS_ALLOWED"],
        ),
        ({"region": "ap-southeast-1"}, ["PRICES"]),
    ],
)
def test_an_operator_is_told_at_start_what_matters(
    settings: dict[str, Any], words: list[str]
) -> None:
    notes = make_guards(**settings).notes()
    assert len(notes) == len(words)
    for note, word in zip(notes, words, strict=True):
        assert word in note


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_keys", "canary"),
        ("client_token_secret", "canary"),
        ("rate_limit", "canary"),
        ("prices", "canary"),
    ],
)
def test_a_bad_setting_is_named_and_not_echoed(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name.upper()}: ") as refused:
        GuardSettings.read(**{name: value})  # type: ignore[arg-type] # by name, all are texts
    assert "canary" not in str(refused.value)


def test_no_repr_holds_a_key_a_secret_or_a_token() -> None:
    settings = GuardSettings.read(client_keys=KEYS, client_token_secret=SECRET)
    guards = Guards(settings, metrics=Metrics())
    token = guards.mint(SHOP, origin=None, ttl_s=None)
    parts: list[object] = [settings, guards, guards._keys, guards._tokens, token]
    assert "canary" not in repr(parts)
    assert token.token not in repr(parts)
