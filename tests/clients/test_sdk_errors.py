"""Failures raise the official SDKs' exceptions, or come as `response.failed`; none costs twice."""

from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from tests.clients.openai_sdks import BOTH, Outcome, Row
from tests.service import running

SHOP_KEY = "shop-key-0123456789abcdef0123456789abcdef"
CLOSED: dict[str, Any] = {"client_keys": f"shop:{SHOP_KEY}", "allow_anonymous": False}
NODE_NAMES = {"APIStatusError": "APIError"}

REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, int, str]]] = {
    # settings, what is asked, what the SDK raises
    "an unknown key": (CLOSED, {}, ("AuthenticationError", 401, "unauthorized")),
    "another model": (
        {},
        {"model": "gpt-4"},
        ("UnprocessableEntityError", 422, "model_not_allowed"),
    ),
    "not a picture": (
        {},
        {"image": "data:image/png;base64,AAAA"},
        ("APIStatusError", 415, "image_type_unsupported"),
    ),
    "too large a body": ({"body_max_bytes": 64}, {}, ("APIStatusError", 413, "image_too_large")),
    "used up": (
        {"budget_total_cny_per_day": "0.0001"},
        {},
        ("APIStatusError", 402, "budget_exceeded"),
    ),
    "our key refused": (
        {},
        {"prompt": "[sim http_401]"},
        ("InternalServerError", 502, "upstream_auth_failed"),
    ),
    "their throttle": (
        {"upstream_retries": 0},
        {"prompt": "[sim throttled_200]"},
        ("InternalServerError", 503, "upstream_rate_limited"),
    ),
}


def raises(outcome: Outcome, sdk: str, wanted: tuple[str, int, str]) -> None:
    raised, status, code = wanted
    name = NODE_NAMES.get(raised, raised) if sdk == "node" else raised
    assert (outcome.raised, outcome.status, outcome.code) == (name, status, code)
    assert outcome.request_id
    assert outcome.request_id.startswith("req_")


@pytest.mark.parametrize("sdk", BOTH)
async def test_a_refusal_raises_its_class(sdk: str) -> None:
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        for settings, asked, _ in REFUSALS.values():
            service = await stack.enter_async_context(running(**settings))
            if "budget_total_cny_per_day" in settings:
                # Uses up what there is, unless it is refused already.
                await service.http.post("/search", json={"image_url": Row.image})
            row = Row(f"{service.url}/v1", "What is it?", stream=False)
            rows += [replace(row, **asked), replace(row, **asked, stream=True)]
        outcomes = await BOTH[sdk](rows)
    wanted = [means for *_, means in REFUSALS.values() for _ in range(2)]
    for outcome, means in zip(outcomes, wanted, strict=True):
        raises(outcome, sdk, means)


BREAKS = {
    "no_terminal": "upstream_interrupted",
    "reset_mid_stream": "upstream_interrupted",
    "error_frame_mid_stream": "upstream_rate_limited",
    "failed_mid_stream": "server_error",
}
"""What breaks after the first event, and the code in `response.failed`: the last one is theirs."""


@pytest.mark.parametrize("sdk", BOTH)
async def test_a_stream_that_breaks_ends_with_an_event_that_says_so(sdk: str) -> None:
    async with running() as service:
        rows = [Row(f"{service.url}/v1", f"[sim {name}]", stream=True) for name in BREAKS]
        outcomes = await BOTH[sdk](rows)
    ends = [(outcome.last, outcome.code) for outcome in outcomes]
    assert ends == [("response.failed", code) for code in BREAKS.values()]


@pytest.mark.parametrize("sdk", BOTH)
async def test_whatever_is_answered_is_read_to_its_end(sdk: str) -> None:
    asked = dict.fromkeys(("normal", "no_results", "two_calls", "crlf", "big_event"), "completed")
    asked |= {"incomplete": "incomplete", "comments": "completed", "glued_event_name": "completed"}
    async with running() as service:
        for stream in (True, False):
            rows = [Row(f"{service.url}/v1", f"[sim {name}]", stream=stream) for name in asked]
            ends = [outcome.last for outcome in await BOTH[sdk](rows)]
            assert ends == [f"response.{status}" for status in asked.values()]


PAID_FOR = ("fails_after_billing", "reset_before_headers", "empty_200", "garbage")
"""Failures of calls that the upstream may have charged for."""


@pytest.mark.parametrize("sdk", BOTH)
async def test_an_sdk_does_not_pay_twice(sdk: str) -> None:
    """With the two retries that SDKs make by themselves, which the service has to call off."""
    asked = [(scenario, stream) for scenario in PAID_FOR for stream in (False, True)]
    async with running() as service:
        rows = [
            Row(f"{service.url}/v1", f"[sim {scenario}]", stream=stream, maxRetries=2)
            for scenario, stream in asked
        ]
        outcomes = await BOTH[sdk](rows)
        await service.record.idle()
        calls = Counter(call.scenario for call in service.record.calls)
    assert [outcome.raised for outcome in outcomes] == ["InternalServerError"] * len(rows)
    assert calls == dict.fromkeys(PAID_FOR, 2)
