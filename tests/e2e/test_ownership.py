"""An upstream's answer belongs to the client that got it, for as long as that is remembered."""

from typing import Any

import pytest

from tests.dashscope import WIRE
from tests.e2e.callers import ASKED, BLOG, GUARDED, SHOP
from tests.e2e.v1 import asked as asked_on_v1
from tests.peer import says, serving, stream
from tests.service import Running, running, running_against
from tests.waiting import eventually


def follow_up(response_id: str, prompt: str = "And then?") -> dict[str, Any]:
    return {"prompt": prompt, "previous_response_id": response_id}


async def may_follow(service: Running, response_id: str, client: dict[str, str]) -> bool:
    """Whether a question that follows an answer gets past the service."""
    headers = client | {"Cache-Control": "no-cache"}
    answer = await service.http.post("/search", json=follow_up(response_id), headers=headers)
    if answer.status_code != 422:
        return True
    assert [one["field"] for one in answer.json()["errors"]] == ["previous_response_id"]
    return False


@pytest.mark.parametrize("scenario", ["cut_after_results", "incomplete"])
async def test_an_answer_that_was_cut_belongs_to_its_client_too(scenario: str) -> None:
    asked = ASKED | {"prompt": f"[sim {scenario}]"}
    async with running(**GUARDED) as service:
        found = (await service.http.post("/search", json=asked, headers=SHOP)).json()
        response_id = found.get("result", found)["upstream_response_id"]
        calls = service.record.total
        assert not await may_follow(service, response_id, BLOG)
        assert service.record.total == calls
        # The upstream has nothing to go on with, but it is asked.
        await service.http.post("/search", json=follow_up(response_id), headers=SHOP)
        assert service.record.total == calls + 1


async def test_answers_of_search_and_v1_are_the_same_clients() -> None:
    async with running(**GUARDED) as service:
        searched = await service.http.post("/search", json=ASKED, headers=SHOP)
        response_id = searched.json()["upstream_response_id"]
        body = asked_on_v1("More?", image=None, previous_response_id=response_id)
        asked = await service.http.post("/v1/responses", json=body, headers=SHOP)
        assert asked.status_code == 200
        refused = await service.http.post("/v1/responses", json=body, headers=BLOG)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_request")
        assert await may_follow(service, asked.json()["id"], SHOP)
        assert not await may_follow(service, asked.json()["id"], BLOG)


async def test_an_id_that_the_upstream_gives_twice_stays_with_who_got_it_first() -> None:
    async with serving(says(stream(WIRE))) as peer, running_against(peer.url, **GUARDED) as service:
        for client in (SHOP, BLOG, SHOP):
            answer = await service.http.post("/search", json=ASKED, headers=client)
            assert answer.json()["upstream_response_id"] == "resp_1"
        assert await may_follow(service, "resp_1", SHOP)
        assert not await may_follow(service, "resp_1", BLOG)


async def test_whose_an_answer_is_is_forgotten_in_time() -> None:
    async with running(response_owner_ttl_s=1) as service:
        response_id = (await service.http.post("/search", json=ASKED)).json()[
            "upstream_response_id"
        ]
        assert await may_follow(service, response_id, {})

        async def is_forgotten() -> bool:
            return not await may_follow(service, response_id, {})

        await eventually(is_forgotten)
