"""`python -m simulator` as a process, asked by the official client."""

import json
import signal
from typing import Any

import pytest
from openai import AsyncOpenAI, AuthenticationError, DefaultAsyncHttpxClient, RateLimitError

from tests.e2e.simulator.asking import data_url, question
from tests.processes import simulator


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_serves_the_official_client_and_ends_on_a_signal(number: int) -> None:
    asked: Any = question("Alike?", data_url("plums"))
    hello: Any = {"model": "qwen3.7-plus", "input": "Hello [sim http_429]"}
    async with simulator() as process, DefaultAsyncHttpxClient(trust_env=False) as http:
        given: dict[str, Any] = {"base_url": f"{process.url}/v1", "http_client": http}
        client = AsyncOpenAI(api_key="sk-simulated", max_retries=0, **given)
        whole = await client.responses.create(**asked)
        stream: Any = await client.responses.create(**asked, stream=True)
        seen = [event async for event in stream]
        with pytest.raises(RateLimitError):
            await client.responses.create(**hello)
        with pytest.raises(AuthenticationError):
            await AsyncOpenAI(api_key="x", **given).responses.create(**hello)
        process.signal(number)
        assert await process.ended() == 0
    call: Any = next(item for item in whole.output if item.type != "reasoning")
    assert json.loads(call.output)[0]["title"] == "Four plums on a dark cloth"
    deltas = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    assert deltas == seen[-1].response.output_text
    assert "simulated" in deltas
    assert process.lines == [f"simulator: listening on {process.url}/compatible-mode/v1"]
