"""OpenAI's own ways to resume and to stop a response, out of this service's log."""

import json
from typing import Any

import httpx

from tests.clock import quiet, skip
from tests.service import Running, running

MODEL = "qwen3.7-plus"
PATH = "/v1/responses"


def asked(prompt: str, **members: Any) -> dict[str, Any]:
    return {"model": MODEL, "input": prompt, "background": True} | members


async def events(service: Running, method: str, path: str, **request: Any) -> list[dict[str, Any]]:
    response: httpx.Response = await service.http.request(method, path, **request)
    assert response.status_code == 200, response.text
    lines = response.text.split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def test_a_response_in_the_background_is_got_followed_and_found_completed() -> None:
    async with running(stream_linger_s=5) as service:
        begun = await service.http.post(PATH, json=asked("[sim gated tag=go]"))
        response_id, status = begun.json()["id"], begun.json()["status"]
        assert (begun.status_code, status) == (200, "in_progress")
        skip(6)
        await quiet()
        running_ = (await service.http.get(f"{PATH}/{response_id}")).json()
        assert (running_["id"], running_["status"]) == (response_id, "in_progress")
        await service.open_gate("go")
        whole = await events(service, "GET", f"{PATH}/{response_id}", params={"stream": "true"})
        assert whole[-1]["type"] == "response.completed"
        for event in whole:
            if (number := event.get("sequence_number")) is None:
                continue
            params = {"stream": "true", "starting_after": str(number)}
            rest = await events(service, "GET", f"{PATH}/{response_id}", params=params)
            assert rest == whole[whole.index(event) + 1 :]
        assert (await service.http.get(f"{PATH}/{response_id}")).json()["status"] == "completed"
        assert [call.finished for call in service.record.calls] == ["completed"]


async def test_a_cancelled_response_stays_cancelled_and_ends_its_readers() -> None:
    async with running() as service:
        begun = await service.http.post(PATH, json=asked("[sim stall after=14]"))
        address = f"{PATH}/{begun.json()['id']}"
        stopped = await service.http.post(f"{address}/cancel")
        assert (stopped.status_code, stopped.json()["status"]) == (200, "cancelled")
        assert (await service.http.get(address)).json()["status"] == "cancelled"
        *_, last = await events(service, "GET", address, params={"stream": "true"})
        assert (last["type"], last["response"]["status"]) == ("response.failed", "cancelled")
        await service.record.idle()


async def test_what_is_not_kept_or_anothers_cannot_be_followed_or_stopped() -> None:
    keys: dict[str, Any] = {
        "client_keys": f"one:{'1' * 32},two:{'2' * 32}",
        "allow_anonymous": False,
    }
    async with running(**keys) as service:
        one, two = ({"Authorization": f"Bearer {key * 32}"} for key in "12")
        prompt = asked("[sim stall after=14]")
        begun = await service.http.post(PATH, json=prompt, headers=one)
        address = f"{PATH}/{begun.json()['id']}"
        for method, path in (("GET", f"{address}?stream=true"), ("POST", f"{address}/cancel")):
            refused = await service.http.request(method, path, headers=two)
            assert (refused.status_code, refused.json()["error"]["code"]) == (
                404,
                "search_not_found",
            )
        assert service.record.open == 1


async def test_one_that_failed_says_so_when_it_is_asked_for() -> None:
    async with running() as service:
        begun = await service.http.post(PATH, json=asked("[sim cut_after_results]"))
        await service.record.idle()
        await quiet()
        found = (await service.http.get(f"{PATH}/{begun.json()['id']}")).json()
        assert (found["status"], found["error"]["code"]) == ("failed", "upstream_interrupted")
