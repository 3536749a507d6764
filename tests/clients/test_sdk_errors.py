"""Failures raise the official SDKs' exceptions, or come as `response.failed`; none costs twice."""

from collections import Counter
from typing import Any

import pytest
from openai import APIStatusError

from tests.clients.children import run_node
from tests.clients.openai_sdks import IMAGE_URL, TOOLS, content, python_client
from tests.service import Running, running

Row = dict[str, Any]
Outcome = dict[str, Any]
"""What the SDK raised, or the last event's type and error."""

KEY = "shop-key-0123456789abcdef0123456789abcdef"
NO_PICTURE = "data:image/png;base64,AAAA"
NODE_NAMES = {"APIStatusError": "APIError"}

REFUSALS: tuple[tuple[Row, tuple[str, int, str]], ...] = (
    # what is asked, and what the SDK raises
    ({"key": "another"}, ("AuthenticationError", 401, "unauthorized")),
    ({"model": "gpt-4"}, ("UnprocessableEntityError", 422, "model_not_allowed")),
    ({"image": NO_PICTURE}, ("APIStatusError", 415, "image_type_unsupported")),
    ({"prompt": "[sim http_401]"}, ("InternalServerError", 502, "upstream_auth_failed")),
)
BREAKS = {
    "no_terminal": "upstream_interrupted",
    "error_frame_mid_stream": "upstream_rate_limited",
    "failed_mid_stream": "server_error",
}
"""What breaks after the first event, and the code in `response.failed`: the last one is theirs."""

PAID_FOR = ("fails_after_billing", "reset_before_headers", "empty_200", "garbage")
"""Failures of calls that the upstream may have charged for."""


def row(service: Running, prompt: str = "What is it?", **others: Any) -> Row:
    """One request, of either SDK."""
    asked = {"url": f"{service.url}/v1", "prompt": prompt, "stream": True, "image": IMAGE_URL}
    return asked | {"key": KEY, "model": "qwen3.7-plus", "maxRetries": 0} | others


async def with_node(rows: list[Row]) -> list[Outcome]:
    outcomes: list[Outcome] = await run_node("failures", given=rows)
    return outcomes


async def with_python(rows: list[Row]) -> list[Outcome]:
    return [await ask(row) for row in rows]


async def ask(row: Row) -> Outcome:
    async with python_client(row["url"], row["key"], row["maxRetries"]) as openai:
        try:
            answer: Any = await openai.responses.create(
                model=row["model"],
                input=content(row["prompt"], row["image"]),
                tools=TOOLS,
                stream=row["stream"],
            )
            *_, last = [event async for event in answer]
        except APIStatusError as error:
            raised, status = type(error).__name__, error.status_code
            known = {"code": error.code, "request_id": error.request_id}
            return {"raised": raised, "status": status} | known
        return {"last": last.type, "code": last.response.error.code}


BOTH = {"node": with_node, "python": with_python}


@pytest.mark.parametrize("sdk", BOTH)
async def test_a_refusal_raises_its_class(sdk: str) -> None:
    async with running(client_keys=f"shop:{KEY}", allow_anonymous=False) as service:
        for stream in (False, True):
            rows = [row(service, stream=stream, **asked) for asked, _ in REFUSALS]
            outcomes = await BOTH[sdk](rows)
            for outcome, (_, (name, *means)) in zip(outcomes, REFUSALS, strict=True):
                assert outcome["raised"] == (NODE_NAMES.get(name, name) if sdk == "node" else name)
                assert [outcome["status"], outcome["code"]] == means
                assert outcome["request_id"].startswith("req_")


@pytest.mark.parametrize("sdk", BOTH)
async def test_a_stream_that_breaks_ends_with_an_event_that_says_so(sdk: str) -> None:
    async with running() as service:
        outcomes = await BOTH[sdk]([row(service, f"[sim {name}]") for name in BREAKS])
    assert outcomes == [{"last": "response.failed", "code": code} for code in BREAKS.values()]


@pytest.mark.parametrize("sdk", BOTH)
async def test_an_sdk_does_not_pay_twice(sdk: str) -> None:
    """With the two retries that SDKs make by themselves, which the service has to call off."""
    async with running() as service:
        rows = [
            row(service, f"[sim {scenario}]", stream=stream, maxRetries=2)
            for scenario in PAID_FOR
            for stream in (False, True)
        ]
        outcomes = await BOTH[sdk](rows)
        await service.record.idle()
        calls = Counter(call.scenario for call in service.record.calls)
    assert [outcome["raised"] for outcome in outcomes] == ["InternalServerError"] * len(rows)
    assert calls == dict.fromkeys(PAID_FOR, 2)
