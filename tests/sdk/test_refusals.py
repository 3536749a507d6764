"""What this service refuses by itself raises the SDKs' matching classes, with our codes."""

from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from tests.sdk.asking import BOTH, Row, Told
from tests.service import running

SHOP_KEY = "shop-key-0123456789abcdef0123456789abcdef"
CLOSED: dict[str, Any] = {"client_keys": f"shop:{SHOP_KEY}", "allow_anonymous": False}
NO_PICTURE = "data:image/png;base64,AAAA"

REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, int, str]]] = {
    # settings, what is asked, what the SDK says
    "an unknown key": (CLOSED, {}, ("AuthenticationError", 401, "unauthorized")),
    "another model": (
        {},
        {"model": "gpt-4"},
        ("UnprocessableEntityError", 422, "model_not_allowed"),
    ),
    "no picture": (
        {},
        {"image": NO_PICTURE},
        ("APIStatusError", 415, "image_type_unsupported"),
    ),
    "a picture of the house": (
        {},
        {"image": "http://10.0.0.1/x.jpg"},
        ("UnprocessableEntityError", 422, "image_url_invalid"),
    ),
    "too large a body": (
        {"body_max_bytes": 64},
        {},
        ("APIStatusError", 413, "image_too_large"),
    ),
}
NODE_NAMES = {"APIStatusError": "APIError"}


PAID_FOR = (
    "fails_after_billing",
    "reset_before_headers",
    "empty_200",
    "garbage",
    "backend_overflow",
)
"""Failures of calls that the upstream may have charged for."""


@pytest.mark.parametrize("sdk", BOTH)
async def test_a_refusal_raises_its_class(sdk: str) -> None:
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        for settings, asked, _ in REFUSALS.values():
            service = await stack.enter_async_context(running(**settings))
            row = Row(f"{service.url}/v1", "What is it?", stream=False)
            rows += [replace(row, **asked), replace(row, **asked, stream=True)]
        answers = await BOTH[sdk](rows)
    wanted = [verdict for *_, verdict in REFUSALS.values() for _ in range(2)]
    for told, (raised, status, code) in zip(answers, wanted, strict=True):
        name = NODE_NAMES.get(raised, raised) if sdk == "node" else raised
        assert told == Told(name, status, code, told.request_id)
        assert told.request_id


@pytest.mark.parametrize("sdk", BOTH)
@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ({"rate_limit": "1/minute"}, ("RateLimitError", 429, "rate_limited")),
        ({"budget_total_cny_per_day": "0.0001"}, ("APIStatusError", 402, "budget_exceeded")),
    ],
    ids=["rate", "budget"],
)
async def test_too_much_raises_its_class(
    sdk: str, settings: dict[str, Any], verdict: tuple[str, int, str]
) -> None:
    raised, status, code = verdict
    async with running(**settings) as service:
        row = Row(f"{service.url}/v1", "What is it?", stream=False)
        first, second = await BOTH[sdk]([row, row])
    assert first.last == "response.completed"
    name = NODE_NAMES.get(raised, raised) if sdk == "node" else raised
    assert (second.raised, second.status, second.code) == (name, status, code)


@pytest.mark.parametrize("sdk", BOTH)
async def test_an_sdk_does_not_pay_twice(sdk: str) -> None:
    """With the two retries that SDKs make of themselves, which the service has to call off."""
    asked = [(scenario, stream) for scenario in PAID_FOR for stream in (False, True)]
    async with running() as service:
        rows = [
            Row(f"{service.url}/v1", f"[sim {scenario}]", stream=stream, maxRetries=2)
            for scenario, stream in asked
        ]
        answers = await BOTH[sdk](rows)
        await service.record.idle()
        calls = service.record.calls
    assert [told.raised for told in answers] == ["InternalServerError"] * len(rows)
    made = Counter(call.stream for call in calls)
    assert made == {False: len(PAID_FOR), True: len(PAID_FOR)}
    billed = [call.stream for call in calls if call.scenario == "fails_after_billing"]
    assert sorted(billed) == [False, True]
    assert all(call.billed for call in calls if call.scenario == "fails_after_billing")
