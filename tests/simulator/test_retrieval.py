"""Stored responses, follow-ups, and the routes around them."""

import pytest

from tests.simulator.asking import desk, found, question


async def test_a_stored_response_comes_back_until_it_is_deleted() -> None:
    async with desk() as at:
        made = (await at.ask(question())).json()
        path = f"/responses/{made['id']}"
        assert (await at.client.get(path)).json() == made
        deleted = await at.client.delete(path)
        assert deleted.json() == {"deleted": True, "id": made["id"]}
        for gone in (await at.client.get(path), await at.client.delete(path)):
            assert gone.status_code == 404
            message = f"Response with id '{made['id']}' not found."
            assert gone.json() == {"error": {"message": message, "type": "InvalidParameter"}}


async def test_a_streamed_response_is_stored_too() -> None:
    async with desk() as at:
        await at.ask(question(stream=True))
        answer = await at.client.get(f"/responses/{at.last.response_id}")
    assert answer.json()["status"] == "completed"


async def test_a_broken_stream_is_not_stored() -> None:
    async with desk() as at:
        await at.ask(question("[sim no_terminal]", stream=True))
        assert (await at.client.get(f"/responses/{at.last.response_id}")).status_code == 404


async def test_an_unstored_response_cannot_be_used_later() -> None:
    async with desk() as at:
        made = (await at.ask(question(store=False))).json()
        assert (await at.client.get(f"/responses/{made['id']}")).status_code == 404
        later = question() | {"previous_response_id": made["id"]}
        message = (await at.ask(later)).json()["message"]
    assert message == f"Not found previous_response_id: {made['id']}"


async def test_a_follow_up_searches_with_the_earlier_image() -> None:
    async with desk() as at:
        first = (await at.ask(question("This?", "three-oranges"))).json()
        later = question() | {"input": "And again?", "previous_response_id": first["id"]}
        second = (await at.ask(later)).json()
    assert found(second)[0]["title"] == "Three oranges in a row 橙子"


async def test_input_items_are_paged_with_milliseconds() -> None:
    messages = [{"role": "user", "content": f"Message {place}"} for place in range(3)]
    async with desk() as at:
        made = (await at.ask(question() | {"input": messages})).json()
        path = f"/responses/{made['id']}/input_items"
        page = (await at.client.get(path, params={"limit": 2})).json()
        rest = (await at.client.get(path, params={"after": page["last_id"]})).json()
        rising = (await at.client.get(path, params={"order": "asc"})).json()
        bad = await at.client.get(path, params={"limit": 101})
        unknown = await at.client.get("/responses/resp_0/input_items")
    assert [item["content"][0]["text"] for item in page["data"]] == ["Message 2", "Message 1"]
    assert (page["has_more"], rest["has_more"], len(rest["data"])) == (True, False, 1)
    assert page["first_id"] == page["data"][0]["id"]
    assert page["created_at"] == made["created_at"] * 1000
    assert (page["id"], page["model"], page["previous_response_id"]) == (
        made["id"],
        "qwen3.7-plus",
        None,
    )
    assert rising["data"] == [*page["data"], *rest["data"]][::-1]
    assert bad.status_code == 400
    assert unknown.json()["message"] == "Response with id 'resp_0' not found."


@pytest.mark.parametrize("prefix", ["/compatible-mode/v1", "/v1"])
async def test_wrong_methods_and_paths_are_refused_as_recorded(prefix: str) -> None:
    async with desk() as at:
        method = await at.client.get(f"{at.url}{prefix}/responses")
        path = await at.client.post(f"{at.url}{prefix}/responses/bogus/sub")
        models = await at.client.get(f"{at.url}{prefix}/models")
    assert (method.status_code, method.json()["code"]) == (405, "Method Not Allowed")
    assert method.json()["message"] == f"Method 'GET' is not allowed for '{prefix}/responses'."
    assert (path.status_code, path.json()["message"]) == (404, "Not support")
    assert "qwen3.6-27b" not in [model["id"] for model in models.json()["data"]]


async def test_it_says_that_it_lives() -> None:
    async with desk() as at:
        assert (await at.client.get(f"{at.url}/healthz")).text == "ok"
