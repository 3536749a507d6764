"""How often a caller may ask: what counts, for whom, and what the answers say of it."""

import httpx
import pytest

from tests.e2e.callers import ASKED, EVIL, GUARDED, SHOP, bearer, token
from tests.service import running
from tests.waiting import eventually

LIMITED = GUARDED | {"rate_limit": "3/day"}


def remaining(response: httpx.Response) -> int | None:
    """What is left, by the headers; `None` where the request did not count."""
    if "ratelimit" not in response.headers:
        assert "ratelimit-policy" not in response.headers
        return None
    assert response.headers["ratelimit-policy"] == '"default";q=3;w=86400'
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
        minted = await service.http.post("/tokens", headers=SHOP)
        answers = [found, bad, streamed, over, got, minted]
        assert [answer.status_code for answer in answers] == [200, 422, 200, 429, 429, 429]
        assert [remaining(answer) for answer in answers] == [2, 1, 0, 0, 0, 0]
        assert events == []
        for refused in (over, got):
            problem = refused.json()
            assert (problem["code"], problem["retryable"]) == ("rate_limited", True)
            assert refused.headers["retry-after"] == str(problem["retry_after"])
            assert 0 < problem["retry_after"] <= 86_400


async def test_coming_back_looking_and_stopping_are_free() -> None:
    async with running(**LIMITED) as service:
        made = await service.http.post("/search", json=ASKED, headers=SHOP)
        path = f"/search/{made.headers['x-search-id']}"
        back = SHOP | {"Last-Event-ID": f"{made.headers['x-search-id']}:1"}
        for _ in range(5):
            answers = [
                await service.http.get(path, headers=SHOP),
                (await service.stream("GET", f"{path}/stream", headers=SHOP))[0],
                (await service.stream(json=ASKED, headers=back))[0],
                (await service.stream("GET", params=ASKED, headers=back))[0],
                await service.http.delete(path, headers=SHOP),
                await service.http.get("/healthz", headers=SHOP),
                await service.http.get("/metrics", headers=SHOP),
            ]
            assert {(one.status_code, remaining(one)) for one in answers} == {(200, None)}
        assert remaining(await service.http.post("/search", json=ASKED, headers=SHOP)) == 1


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
        for left in (2, 1):
            minted = await service.http.post("/tokens", headers=SHOP)
            assert remaining(minted) == left
            credential = bearer(minted.json()["token"])
            for still_left in (2, 1, 0, 0):
                answer = await service.http.post("/search", json=ASKED, headers=credential)
                assert remaining(answer) == still_left
        by_url = {"access_token": token(jti="by-url"), **ASKED}
        response, _ = await service.stream("GET", params=by_url)
        assert remaining(response) == 2
        assert remaining(await service.http.post("/search", json=ASKED, headers=SHOP)) == 0


async def test_after_the_wait_that_was_asked_for_there_is_room_again() -> None:
    async with running(rate_limit="1/second") as service:

        async def passes() -> bool:
            answer = await service.http.post("/search", json=ASKED)
            assert answer.status_code == 200 or answer.headers["retry-after"] == "1"
            return answer.status_code == 200

        assert await passes()
        assert not await passes()
        await eventually(passes, within_s=10)


OURS = "127.0.0.1,10.0.0.0/8"
FORWARDED: list[tuple[str, list[str], int]] = [
    # TRUSTED_PROXIES, what is forwarded, and the second answer: 429 where both share an address
    ("10.0.0.0/8", ["203.0.113.1", "203.0.113.2"], 429),
    (OURS, ["203.0.113.1", "203.0.113.2"], 422),
    (OURS, ["203.0.113.3", "203.0.113.3"], 429),
    # What a caller says itself is not believed.
    (OURS, ["1.1.1.1, 203.0.113.4", "2.2.2.2, 203.0.113.4"], 429),
    (OURS, ["203.0.113.5, 10.0.0.7", "203.0.113.6, 10.0.0.7"], 422),
    # One subscriber's many addresses, and two subscribers.
    (OURS, ["2001:db8:1:2::1", "2001:db8:1:2:ffff::1"], 429),
    (OURS, ["2001:db8:1:3::1", "2001:db8:1:4::1"], 422),
]


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", OURS])
async def test_forwarded_addresses_are_believed_from_trusted_proxies_only(trusted: str) -> None:
    async with running(rate_limit="1/day", trusted_proxies=trusted) as service:
        for proxies, addresses, second in FORWARDED:
            if proxies == trusted:
                for address, status in zip(addresses, (422, second), strict=True):
                    headers = {"X-Forwarded-For": address}
                    answer = await service.http.post("/search", json={}, headers=headers)
                    assert answer.status_code == status, addresses
