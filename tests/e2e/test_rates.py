"""How often a caller may ask: what counts, for whom, and what the answers say of it."""

import httpx
import pytest

from tests.e2e.callers import ASKED, EVIL, GUARDED, PAGE, SHOP, bearer, token
from tests.processes import started
from tests.service import running
from tests.waiting import eventually

LIMITED = GUARDED | {"rate_limit": "3/day"}
POLICY = '"default";q=3;w=86400'


def remaining(response: httpx.Response) -> int | None:
    """What is left, by the headers; `None` where the request did not count."""
    if "ratelimit" not in response.headers:
        assert "ratelimit-policy" not in response.headers
        return None
    assert response.headers["ratelimit-policy"] == POLICY
    name, left, reset = response.headers["ratelimit"].split(";")
    assert name == '"default"'
    assert 0 < int(reset.removeprefix("t=")) <= 86_400
    return int(left.removeprefix("r="))


async def test_every_answer_that_counts_says_what_is_left() -> None:
    async with running(**LIMITED) as service:
        found = await service.http.post("/search", json=ASKED, headers=SHOP)
        bad = await service.http.post("/search", json={}, headers=SHOP)
        streamed, _ = await service.stream(json=ASKED, headers=SHOP)
        over = await service.http.post("/search", json=ASKED, headers=SHOP)
        got, events = await service.stream("GET", params=ASKED, headers=SHOP)
        answers = [found, bad, streamed, over, got]
        assert [answer.status_code for answer in answers] == [200, 422, 200, 429, 429]
        assert [remaining(answer) for answer in answers] == [2, 1, 0, 0, 0]
        assert events == []
        for refused in (over, got):
            problem = refused.json()
            assert (problem["code"], problem["retryable"]) == ("rate_limited", True)
            assert refused.headers["retry-after"] == str(problem["retry_after"])
            assert 0 < problem["retry_after"] <= 86_400
        minted = await service.http.post("/tokens", headers=SHOP)
        assert minted.status_code == 429


async def test_coming_back_looking_and_stopping_are_free() -> None:
    async with running(**LIMITED) as service:
        made = await service.http.post("/search", json=ASKED, headers=SHOP)
        search_id = made.headers["x-search-id"]
        back = SHOP | {"Last-Event-ID": f"{search_id}:1"}
        for _ in range(5):
            answers = [
                await service.http.get(f"/search/{search_id}", headers=SHOP),
                (await service.stream("GET", f"/search/{search_id}/stream", headers=SHOP))[0],
                (await service.stream(json=ASKED, headers=back))[0],
                (await service.stream("GET", params=ASKED, headers=back))[0],
                await service.http.delete(f"/search/{search_id}", headers=SHOP),
                await service.http.get("/healthz", headers=SHOP),
                await service.http.get("/metrics", headers=SHOP),
            ]
            assert {answer.status_code for answer in answers} == {200}
            assert {remaining(answer) for answer in answers} == {None}
        assert remaining(await service.http.post("/search", json=ASKED, headers=SHOP)) == 1


async def test_what_asks_the_upstream_about_an_answer_counts() -> None:
    asked = (("GET", ""), ("GET", "/input_items"), ("DELETE", ""), ("GET", ""))
    async with running(**LIMITED) as service:
        answers = [
            await service.http.request(method, f"/v1/responses/resp_x{tail}", headers=SHOP)
            for method, tail in asked
        ]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    assert [remaining(answer) for answer in answers] == [2, 1, 0, 0]


async def test_what_is_refused_before_it_counts_uses_nothing_up() -> None:
    """Else a foreign page could use up the rate of whoever looks at it."""
    async with running(**LIMITED) as service:
        for headers in (bearer("sk-wrong"), SHOP | {"Origin": EVIL}, {}):
            response = await service.http.post("/search", json=ASKED, headers=headers)
            assert (response.status_code >= 401, remaining(response)) == (True, None)
        response, _ = await service.stream("GET", params=ASKED, headers=SHOP | {"Accept": "*/*"})
        assert (response.status_code, remaining(response)) == (406, None)
        assert remaining(await service.http.post("/search", json=ASKED, headers=SHOP)) == 2


async def test_minting_counts_for_the_key_and_each_token_counts_for_itself() -> None:
    async with running(**LIMITED) as service:
        first, second = [await service.http.post("/tokens", headers=SHOP) for _ in range(2)]
        assert [remaining(first), remaining(second)] == [2, 1]
        for minted in (first, second):
            credential = bearer(minted.json()["token"])
            left = [
                remaining(await service.http.post("/search", json=ASKED, headers=credential))
                for _ in range(4)
            ]
            assert left == [2, 1, 0, 0]
        own = {"Accept": "text/event-stream"}
        by_url = {"access_token": token(jti="by-url"), **ASKED}
        response = await service.http.get("/search/stream", params=by_url, headers=own)
        assert remaining(response) == 2
        assert remaining(await service.http.post("/search", json=ASKED, headers=SHOP)) == 0


async def test_what_a_page_reads_of_a_refusal_is_exposed_to_it() -> None:
    async with running(**GUARDED | {"rate_limit": "1/day"}) as service:
        headers = SHOP | {"Origin": PAGE}
        await service.http.post("/search", json=ASKED, headers=headers)
        over = await service.http.post("/search", json=ASKED, headers=headers)
        assert over.status_code == 429
        assert over.headers["access-control-allow-origin"] == PAGE
        exposed = over.headers["access-control-expose-headers"]
        for name in ("RateLimit", "RateLimit-Policy", "Retry-After"):
            assert name in exposed.split(", ")
            assert name in over.headers


async def test_after_the_wait_that_was_asked_for_there_is_room_again() -> None:
    async with running(**GUARDED | {"rate_limit": "1/second"}) as service:

        async def passes() -> bool:
            answer = await service.http.post("/search", json=ASKED, headers=SHOP)
            assert answer.status_code in {200, 429}
            if answer.status_code == 429:
                assert answer.headers["retry-after"] == "1"
            return answer.status_code == 200

        assert await passes()
        assert not await passes()
        await eventually(passes, within_s=10)


async def test_without_a_rate_nothing_is_counted() -> None:
    async with running(**GUARDED | {"rate_limit": "0"}) as service:
        answer = await service.http.post("/search", json=ASKED, headers=SHOP)
        assert "ratelimit" not in answer.headers
        assert "ratelimit-policy" not in answer.headers


FORWARDED: dict[str, dict[str, tuple[list[str], list[int]]]] = {
    # by TRUSTED_PROXIES: what is forwarded, and the answers, 429 where two share an address
    "10.0.0.0/8": {"another is trusted": (["203.0.113.1", "203.0.113.2"], [422, 429])},
    "127.0.0.1,10.0.0.0/8": {
        "two callers": (["203.0.113.1", "203.0.113.2"], [422, 422]),
        "one caller twice": (["203.0.113.3", "203.0.113.3"], [422, 429]),
        "what a caller says itself is not believed": (
            ["1.1.1.1, 203.0.113.4", "2.2.2.2, 203.0.113.4"],
            [422, 429],
        ),
        "a second proxy in between": (
            ["203.0.113.5, 10.0.0.7", "203.0.113.6, 10.0.0.7"],
            [422, 422],
        ),
        "one subscriber's many addresses": (
            ["2001:db8:1:2::1", "2001:db8:1:2:ffff::1"],
            [422, 429],
        ),
        "two subscribers": (["2001:db8:1:3::1", "2001:db8:1:4::1"], [422, 422]),
    },
}


@pytest.mark.parametrize("trusted", FORWARDED)
async def test_forwarded_addresses_are_believed_from_trusted_proxies_only(trusted: str) -> None:
    settings = {
        "DASHSCOPE_API_KEY": "sk-any",
        "DASHSCOPE_BASE_URL": "http://127.0.0.1:9/v1",
        "ALLOW_ANONYMOUS": "true",
        "RATE_LIMIT": "1/day",
        "TRUSTED_PROXIES": trusted,
        "PORT": "0",
    }
    async with started("app", **settings) as process, httpx.AsyncClient() as http:
        for case, (forwarded, statuses) in FORWARDED[trusted].items():
            answers = [
                await http.post(
                    f"{process.url}/search", json={}, headers={"X-Forwarded-For": addresses}
                )
                for addresses in forwarded
            ]
            assert [answer.status_code for answer in answers] == statuses, case
