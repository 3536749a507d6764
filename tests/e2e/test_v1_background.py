"""OpenAI's own ways to resume and to stop a response, out of this service's log."""

import json
from typing import Any

from tests.clock import quiet, skip
from tests.e2e.callers import BLOG, SHOP
from tests.e2e.v1 import asked, create, data_of, error_of
from tests.service import Running, running

PATH = "/v1/responses"


async def begin(service: Running, prompt: str, **headers: str) -> dict[str, Any]:
    """What is answered to a call in the background at once."""
    begun = await create(service, asked(prompt, background=True), **headers)
    assert begun.status_code == 200
    response: dict[str, Any] = begun.json()
    return response


async def events(service: Running, address: str, **params: str) -> list[dict[str, Any]]:
    response = await service.http.get(address, params={"stream": "true"} | params)
    assert response.status_code == 200, response.text
    return [json.loads(data) for data in data_of(response.text)]


async def test_a_response_in_the_background_is_got_followed_and_found_completed() -> None:
    async with running(stream_linger_s=5) as service:
        begun = await begin(service, "[sim gated tag=go]")
        assert begun["status"] == "in_progress"
        address = f"{PATH}/{begun['id']}"
        skip(6)
        await quiet()
        found = (await service.http.get(address)).json()
        assert (found["id"], found["status"]) == (begun["id"], "in_progress")
        await service.open_gate("go")
        whole = await events(service, address)
        assert whole[-1]["type"] == "response.completed"
        for event in whole:
            if (number := event.get("sequence_number")) is not None:
                rest = await events(service, address, starting_after=str(number))
                assert rest == whole[whole.index(event) + 1 :]
        assert (await service.http.get(address)).json()["status"] == "completed"
        assert [call.finished for call in service.record.calls] == ["completed"]


async def test_a_cancelled_response_stays_cancelled_and_ends_its_readers(service: Running) -> None:
    address = f"{PATH}/{(await begin(service, '[sim stall after=14]'))['id']}"
    stopped = await service.http.post(f"{address}/cancel")
    assert (stopped.status_code, stopped.json()["status"]) == (200, "cancelled")
    assert (await service.http.get(address)).json()["status"] == "cancelled"
    *_, last = await events(service, address)
    assert (last["type"], last["response"]["status"]) == ("response.failed", "cancelled")
    await service.record.idle()


async def test_what_is_anothers_cannot_be_followed_or_stopped(guarded: Running) -> None:
    address = f"{PATH}/{(await begin(guarded, '[sim stall after=14]', **SHOP))['id']}"
    for method, path in (("GET", f"{address}?stream=true"), ("POST", f"{address}/cancel")):
        refused = await guarded.http.request(method, path, headers=BLOG)
        assert (refused.status_code, error_of(refused)["code"]) == (404, "search_not_found")
    assert guarded.record.open == 1


async def test_one_that_failed_says_so_when_it_is_asked_for(service: Running) -> None:
    begun = await begin(service, "[sim cut_after_results]")
    await service.record.idle()
    await quiet()
    found = (await service.http.get(f"{PATH}/{begun['id']}")).json()
    assert (found["status"], found["error"]["code"]) == ("failed", "upstream_interrupted")
