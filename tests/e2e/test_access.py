"""Who may do what: every endpoint with every kind of credential."""

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.clock import skip
from tests.e2e.callers import (
    ASKED,
    BLOG,
    EVIL,
    GUARDED,
    PAGE,
    SECRET,
    SHOP,
    SHOP_KEY,
    bearer,
    token,
)
from tests.service import Running, running

SEARCHES = ("POST /search", "POST /search/stream", "GET /search/stream")
ONE_SEARCH = ("GET /search/{id}", "GET /search/{id}/stream", "DELETE /search/{id}")
ENDPOINTS = (*SEARCHES, *ONE_SEARCH, "POST /tokens")
OPEN = ("GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json")
CODES = {
    "200": "",
    "401": "unauthorized",
    "401 ended": "token_expired",
    "403 origin": "origin_not_allowed",
    "403 token": "forbidden",
    "404": "search_not_found",
    "422": "invalid_request",
}


@dataclass(frozen=True)
class Shown:
    """What a request carries; `HOST`, `SEARCH` and `RESPONSE` stand for what a test makes."""

    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, str] = field(default_factory=dict)


def by_token(credential: str, **headers: str) -> Shown:
    return Shown(bearer(credential) | headers)


def follows(response_id: str, client: dict[str, str] = SHOP) -> Shown:
    return Shown(client, body={"previous_response_id": response_id})


NOBODY = ("401",) * 7
EVERYTHING = ("200",) * 7
BY_TOKEN = ("200",) * 6 + ("403 token",)
NO_NEW_SEARCH = ("403 origin",) * 3 + ("200",) * 4
ELSEWHERE = ("403 origin",) * 6 + ("403 token",)
NOT_THAT_SEARCH = ("200",) * 3 + ("404",) * 3
BY_URL = ("401", "401", "200", "401", "200", "401", "401")
IN_URL = {"access_token": SHOP_KEY}
AT_ANOTHERS_PLACE = ("200", "404", "404", "404", "404", "404", "200")

TABLE: dict[str, tuple[Shown, tuple[str, ...]]] = {
    # the answers are in the order of ENDPOINTS
    "no key": (Shown(), NOBODY),
    "a wrong key": (Shown(bearer("sk-wrong")), NOBODY),
    "another scheme": (Shown({"Authorization": f"Basic {SHOP_KEY}"}), NOBODY),
    "the right key": (Shown(SHOP), EVERYTHING),
    "the scheme in small letters": (Shown({"Authorization": f"bearer {SHOP_KEY}"}), EVERYTHING),
    "a token": (by_token(token()), BY_TOKEN),
    "a token that has ended": (by_token(token(exp=1_700_000_000)), ("401 ended",) * 7),
    "a token bound to its page": (by_token(token(origin=EVIL), Origin=EVIL), BY_TOKEN),
    "a token of another page": (by_token(token(origin=PAGE), Origin=EVIL), ELSEWHERE),
    "a forged token": (by_token(token()[:-2]), NOBODY),
    "a key in the query": (Shown(query=IN_URL), NOBODY),
    "a key in the query, and one in its place": (Shown(SHOP, query=IN_URL), EVERYTHING),
    "a token in the query": (Shown(query={"access_token": token()}), BY_URL),
    "a key from a foreign page": (Shown(SHOP | {"Origin": EVIL}), NO_NEW_SEARCH),
    "a key, and an empty origin": (Shown(SHOP | {"Origin": ""}), NO_NEW_SEARCH),
    "a key from an allowed page": (Shown(SHOP | {"Origin": PAGE}), EVERYTHING),
    "a key from our own page": (Shown(SHOP | {"Origin": "http://HOST"}), EVERYTHING),
    "a free token elsewhere": (by_token(token(), Origin=EVIL), (*NO_NEW_SEARCH[:6], "403 token")),
    "another client's search": (Shown(BLOG), (*NOT_THAT_SEARCH, "200")),
    "another client's token": (by_token(token(sub="blog")), (*NOT_THAT_SEARCH, "403 token")),
    "another's place in a stream": (Shown(BLOG | {"Last-Event-ID": "SEARCH:1"}), AT_ANOTHERS_PLACE),
    "one's own place in a stream": (Shown(SHOP | {"Last-Event-ID": "SEARCH:1"}), EVERYTHING),
    "another's response": (follows("RESPONSE", BLOG), ("422",) * 3 + ("404",) * 3 + ("200",)),
    "a response that nobody got": (follows("resp_unknown"), ("422",) * 3 + ("200",) * 4),
    "one's own response": (follows("RESPONSE"), EVERYTHING),
}


async def ask(
    service: Running, endpoint: str, shown: Shown, made: dict[str, Any]
) -> httpx.Response:
    host = service.url.removeprefix("http://")
    known = {"HOST": host, "SEARCH": made["id"], "RESPONSE": made["upstream_response_id"]}

    def filled(texts: dict[str, str]) -> dict[str, str]:
        for name, value in known.items():
            texts = {key: text.replace(name, value) for key, text in texts.items()}
        return texts

    method, path = endpoint.split(" ")
    asked = ASKED | filled(shown.body) if endpoint in SEARCHES else {}
    accept = "text/event-stream" if path.endswith("/stream") else "*/*"
    return await service.http.request(
        method,
        path.format(id=made["id"]),
        headers={"Accept": accept} | filled(shown.headers),
        params=shown.query | asked if method == "GET" else shown.query,
        json=asked if method == "POST" and asked else None,
    )


@pytest.mark.parametrize("kind", TABLE)
async def test_every_endpoint_lets_in_whom_it_should(kind: str, guarded: Running) -> None:
    shown, wanted = TABLE[kind]
    made = (await guarded.http.post("/search", json=ASKED, headers=SHOP)).json()
    for endpoint, want in zip(ENDPOINTS, wanted, strict=True):
        response = await ask(guarded, endpoint, shown, made)
        code = response.json()["code"] if response.is_error else ""
        assert (str(response.status_code), code) == (want[:3], CODES[want]), endpoint
        challenge = "Bearer" if response.status_code == 401 else None
        assert response.headers.get("www-authenticate") == challenge
        if want == "422":
            assert response.json()["errors"][0]["field"] == "previous_response_id"
    for endpoint in OPEN:
        assert (await ask(guarded, endpoint, shown, made)).status_code == 200


KEYS, TOKENS = {"client_keys": GUARDED["client_keys"]}, {"client_token_secret": SECRET}
ANYBODY = {"allow_anonymous": True}
SETUPS: tuple[dict[str, Any], ...] = (
    KEYS | TOKENS | {"allow_anonymous": False},
    KEYS | TOKENS | ANYBODY,
    TOKENS | {"allow_anonymous": False},
    TOKENS | ANYBODY,
    ANYBODY,
)
IN, NO, FOREIGN = 404, 401, 403
"""A look at a search that nobody has: 404 for whoever is let in."""
SHOWN: dict[str, tuple[dict[str, str], dict[str, str], tuple[int, ...]]] = {
    # the headers, the query, and the status in each of SETUPS
    "nothing": ({}, {}, (NO, IN, NO, IN, IN)),
    "a key": (SHOP, {}, (IN, IN, NO, IN, IN)),
    "a wrong key": (bearer("sk-wrong"), {}, (NO, NO, NO, IN, IN)),
    "a token": (bearer(token()), {}, (IN, IN, IN, IN, IN)),
    "an ended token": (bearer(token(exp=1)), {}, (NO, NO, NO, IN, IN)),
    "another page's token": (bearer(token(origin=PAGE)), {}, (*(FOREIGN,) * 4, IN)),
    "a key in the URL": ({}, {"access_token": SHOP_KEY}, (NO,) * 5),
    "a token in the URL": ({}, {"access_token": token()}, (*(IN,) * 4, NO)),
    "an ended token in the URL": ({}, {"access_token": token(exp=1)}, (NO,) * 5),
}


@pytest.mark.parametrize("setup", range(len(SETUPS)))
async def test_who_is_let_in_follows_from_the_settings_and_what_is_shown(setup: int) -> None:
    async with running(**SETUPS[setup]) as service:
        for kind, (headers, query, statuses) in SHOWN.items():
            sent = headers | {"Origin": EVIL, "Accept": "text/event-stream"}
            answer = await service.http.get("/search/srch_x/stream", headers=sent, params=query)
            assert answer.status_code == statuses[setup], kind


async def test_a_token_in_a_url_that_takes_none_is_referred_to_the_header(guarded: Running) -> None:
    paths = (("GET", "/search/srch_x"), ("POST", "/search/stream"), ("POST", "/v1/responses"))
    for method, path in paths:
        for credential in (token(), SHOP_KEY, "nonsense"):
            query = {"access_token": credential}
            refused = await guarded.http.request(method, path, params=query)
            assert refused.status_code == 401
            body = refused.json()
            assert "Authorization" in (body.get("detail") or body["error"]["message"])
            assert credential not in refused.text


async def may_follow(service: Running, response_id: str, client: dict[str, str]) -> bool:
    headers = client | {"Cache-Control": "no-cache"}
    asked = {"prompt": "And then?", "previous_response_id": response_id}
    answer = await service.http.post("/search", json=asked, headers=headers)
    if answer.status_code != 422:
        return True
    assert [one["field"] for one in answer.json()["errors"]] == ["previous_response_id"]
    return False


@pytest.mark.parametrize("scenario", ["cut_after_results", "incomplete"])
async def test_an_answer_that_was_cut_belongs_to_its_client_too(
    scenario: str, guarded: Running
) -> None:
    asked = ASKED | {"prompt": f"[sim {scenario}]"}
    found = (await guarded.http.post("/search", json=asked, headers=SHOP)).json()
    response_id = found.get("result", found)["upstream_response_id"]
    calls = guarded.record.total
    assert not await may_follow(guarded, response_id, BLOG)
    assert guarded.record.total == calls
    # The upstream has nothing to go on with, but it is asked.
    await may_follow(guarded, response_id, SHOP)
    assert guarded.record.total == calls + 1


async def test_whose_an_answer_is_is_forgotten_in_time() -> None:
    async with running(response_owner_ttl_s=60) as service:
        found = (await service.http.post("/search", json=ASKED)).json()
        assert await may_follow(service, found["upstream_response_id"], {})
        calls = service.record.total
        skip(61)
        assert not await may_follow(service, found["upstream_response_id"], {})
        assert service.record.total == calls
