"""Who may do what: every endpoint with every kind of credential."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.e2e.callers import (
    ASKED,
    BLOG,
    EVIL,
    GUARDED,
    PAGE,
    SHOP,
    SHOP_KEY,
    bearer,
    forged,
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
    "403 origin": "origin_not_allowed",
    "403 token": "forbidden",
    "404": "search_not_found",
    "422": "invalid_request",
}


@dataclass(frozen=True)
class Shown:
    """What a request bears; `HOST`, `SEARCH` and `RESPONSE` stand for what a run makes."""

    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, str] = field(default_factory=dict)


def by_token(credential: str, **headers: str) -> Shown:
    return Shown(bearer(credential) | headers)


NOBODY = ("401",) * 7
EVERYTHING = ("200",) * 7
BY_TOKEN = ("200",) * 6 + ("403 token",)
NO_NEW_SEARCH = ("403 origin",) * 3 + ("200",) * 4
ELSEWHERE = ("403 origin",) * 6 + ("403 token",)

TABLE: dict[str, tuple[Shown, tuple[str, ...]]] = {
    # the answers are in the order of ENDPOINTS
    "no key": (Shown(), NOBODY),
    "a wrong key": (Shown(bearer("sk-wrong")), NOBODY),
    "another scheme": (Shown({"Authorization": f"Basic {SHOP_KEY}"}), NOBODY),
    "the right key": (Shown(SHOP), EVERYTHING),
    "the scheme in small letters": (Shown({"Authorization": f"bearer {SHOP_KEY}"}), EVERYTHING),
    "a token": (by_token(token()), BY_TOKEN),
    "a token that has ended": (by_token(token(exp=1_700_000_000)), NOBODY),
    "a token bound to its page": (by_token(token(origin=EVIL), Origin=EVIL), BY_TOKEN),
    "a token bound to a page, from none": (by_token(token(origin=EVIL)), BY_TOKEN),
    "a token of another page": (by_token(token(origin=PAGE), Origin=EVIL), ELSEWHERE),
    "a token of another page, from an allowed one": (
        by_token(token(origin=EVIL), Origin=PAGE),
        ELSEWHERE,
    ),
    "a forged token, alg none": (by_token(forged("none")), NOBODY),
    "a forged token, alg HS512": (by_token(forged("HS512", hashed="sha512")), NOBODY),
    "a forged token, alg RS256": (by_token(forged("RS256")), NOBODY),
    "a key in the query": (Shown(query={"access_token": SHOP_KEY}), NOBODY),
    "a key in the query, and one in its place": (
        Shown(SHOP, query={"access_token": SHOP_KEY}),
        EVERYTHING,
    ),
    "a token in the query": (
        Shown(query={"access_token": token()}),
        ("401", "401", "200", "401", "200", "401", "401"),
    ),
    "a token that has ended in the query": (
        Shown(query={"access_token": token(exp=1_700_000_000)}),
        NOBODY,
    ),
    "a forged token in the query": (Shown(query={"access_token": forged("none")}), NOBODY),
    "a key from a foreign page": (Shown(SHOP | {"Origin": EVIL}), NO_NEW_SEARCH),
    "a key from a page without an origin": (Shown(SHOP | {"Origin": "null"}), NO_NEW_SEARCH),
    "a key, and an origin that is none": (Shown(SHOP | {"Origin": "http://["}), NO_NEW_SEARCH),
    "a key, and an empty origin": (Shown(SHOP | {"Origin": ""}), NO_NEW_SEARCH),
    "a key from an allowed page": (Shown(SHOP | {"Origin": PAGE}), EVERYTHING),
    "a key from our own page": (Shown(SHOP | {"Origin": "http://HOST"}), EVERYTHING),
    "a key from our own page behind TLS": (Shown(SHOP | {"Origin": "https://HOST"}), EVERYTHING),
    "a free token from a foreign page": (
        by_token(token(), Origin=EVIL),
        (*NO_NEW_SEARCH[:6], "403 token"),
    ),
    "another client's search": (Shown(BLOG), ("200",) * 3 + ("404",) * 3 + ("200",)),
    "a token for another client": (
        by_token(token(sub="blog")),
        ("200",) * 3 + ("404",) * 3 + ("403 token",),
    ),
    "another client's place in a stream": (
        Shown(BLOG | {"Last-Event-ID": "SEARCH:1"}),
        ("200", "404", "404", "404", "404", "404", "200"),
    ),
    "one's own place in a stream": (Shown(SHOP | {"Last-Event-ID": "SEARCH:1"}), EVERYTHING),
    "another client's response": (
        Shown(BLOG, body={"previous_response_id": "RESPONSE"}),
        ("422",) * 3 + ("404",) * 3 + ("200",),
    ),
    "a response that nobody got": (
        Shown(SHOP, body={"previous_response_id": "resp_unknown"}),
        ("422",) * 3 + ("200",) * 4,
    ),
    "one's own response": (Shown(SHOP, body={"previous_response_id": "RESPONSE"}), EVERYTHING),
    "one's own response, by token": (
        Shown(bearer(token()), body={"previous_response_id": "RESPONSE"}),
        BY_TOKEN,
    ),
}


async def ask(
    service: Running, endpoint: str, shown: Shown, made: dict[str, Any]
) -> httpx.Response:
    """Send one request of the table, with what it stands for filled in."""

    def filled(texts: dict[str, str]) -> dict[str, str]:
        host = service.url.removeprefix("http://")
        known = {"HOST": host, "SEARCH": made["id"], "RESPONSE": made["upstream_response_id"]}
        for name, value in known.items():
            texts = {key: text.replace(name, value) for key, text in texts.items()}
        return texts

    method, path = endpoint.split(" ")
    asked = ASKED | filled(shown.body) if endpoint in SEARCHES else {}
    query = shown.query | asked if method == "GET" else shown.query
    accept = "text/event-stream" if path.endswith("/stream") else "*/*"
    return await service.http.request(
        method,
        path.format(id=made["id"]),
        headers={"Accept": accept} | filled(shown.headers),
        params=query,
        json=asked if method == "POST" and endpoint in SEARCHES else None,
    )


@pytest.mark.parametrize("kind", TABLE)
async def test_every_endpoint_lets_in_whom_it_should(kind: str) -> None:
    shown, wanted = TABLE[kind]
    async with running(**GUARDED) as service:
        made = (await service.http.post("/search", json=ASKED, headers=SHOP)).json()
        for endpoint, want in zip(ENDPOINTS, wanted, strict=True):
            response = await ask(service, endpoint, shown, made)
            told = response.json()["code"] if response.is_error else ""
            assert (str(response.status_code), told) == (want[:3], CODES[want]), endpoint
            assert response.headers.get("www-authenticate") == ("Bearer" if want == "401" else None)
            if want == "422":
                assert response.json()["errors"][0]["field"] == "previous_response_id"
        for endpoint in OPEN:
            assert (await ask(service, endpoint, shown, made)).status_code == 200


ANYBODY: dict[str, tuple[dict[str, Any], int]] = {
    # how the service is set up, and what a wrong key gets there
    "anonymous callers only": ({}, 200),
    "anonymous callers and tokens": ({"client_token_secret": GUARDED["client_token_secret"]}, 200),
    "anonymous callers and keys": ({"client_keys": GUARDED["client_keys"]}, 401),
}


@pytest.mark.parametrize("setup", ANYBODY)
async def test_a_wrong_key_is_ignored_only_where_there_are_no_keys(setup: str) -> None:
    settings, status = ANYBODY[setup]
    async with running(**settings) as service:
        assert (await service.http.post("/search", json=ASKED)).status_code == 200
        response = await service.http.post("/search", json=ASKED, headers=bearer("sk-wrong"))
        assert response.status_code == status


async def test_for_anonymous_callers_the_id_is_the_capability() -> None:
    async with running() as service:
        made = (await service.http.post("/search", json=ASKED)).json()
        assert (await service.http.get(f"/search/{made['id']}")).json() == made
        follow_up = {"prompt": "And?", "previous_response_id": made["upstream_response_id"]}
        assert (await service.http.post("/search", json=follow_up)).json()["status"] == "completed"


@pytest.mark.parametrize("scenario", ["cut_after_results", "two_calls no_terminal", "incomplete"])
async def test_an_answer_that_was_cut_belongs_to_its_client_too(scenario: str) -> None:
    asked = ASKED | {"prompt": f"[sim {scenario}]"}
    async with running(**GUARDED) as service:
        found = (await service.http.post("/search", json=asked, headers=SHOP)).json()
        result = found.get("result", found)
        follow_up = {"previous_response_id": result["upstream_response_id"]}
        response = await service.http.post("/search", json=follow_up, headers=BLOG)
        assert response.json()["errors"][0]["field"] == "previous_response_id"
        service.service.guards.responses.check(result["upstream_response_id"], "shop")


AS_JSON = {"Content-Type": "application/json"}


async def test_a_token_is_minted_used_and_refused_where_it_was_not_made_for() -> None:
    async with running(**GUARDED) as service:
        plain = await service.http.post("/tokens", headers=SHOP)
        assert plain.headers["cache-control"] == "no-store"
        minted = await service.http.post(
            "/tokens", headers=SHOP, json={"origin": PAGE, "ttl_s": 60}
        )
        credential = bearer(minted.json()["token"])
        for headers, status in (
            (credential | {"Origin": PAGE}, 200),
            (credential | {"Origin": EVIL}, 403),
        ):
            assert (
                await service.http.post("/search", json=ASKED, headers=headers)
            ).status_code == status
        for body, status in (
            ({"ttl_s": 901}, 422),
            ({"ttl_s": "60"}, 422),
            ({"origin": f"{PAGE}/x"}, 422),
            ({"sub": "blog"}, 422),
            ([], 422),
            ("{", 400),
        ):
            content = body if isinstance(body, str) else json.dumps(body)
            response = await service.http.post("/tokens", headers=SHOP | AS_JSON, content=content)
            assert response.status_code == status, body
    async with running(**GUARDED | {"client_token_secret": ""}) as service:
        assert (await service.http.post("/tokens", headers=SHOP)).status_code == 404


async def test_the_access_log_names_the_client_of_each_request_that_has_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "app.access")
    async with running(**GUARDED) as service:
        await service.http.post("/search", json=ASKED, headers=SHOP)
        await service.http.get("/search/srch_x", headers=BLOG)
        await service.http.get("/v1/models", headers=bearer(token()))
        await service.http.post("/tokens", headers=SHOP)
        await service.http.post("/search", json=ASKED, headers=bearer("sk-wrong"))
        await service.http.get("/nowhere", headers=SHOP)
    async with running() as service:
        await service.http.post("/search", json=ASKED)
    lines = [vars(one)["fields"] for one in caplog.records if one.name == "app.access"]
    clients = [line.get("client") for line in lines]
    assert clients == ["shop", "blog", "shop", "shop", None, None, "anonymous"]


NO_STREAMS = (("GET", "/search/srch_x"), ("POST", "/search/stream"), ("POST", "/v1/responses"))


@pytest.mark.parametrize(("method", "path"), NO_STREAMS)
async def test_a_token_in_a_url_that_takes_none_is_told_where_it_belongs(
    method: str, path: str
) -> None:
    async with running(**GUARDED) as service:

        async def detail(credential: str, **headers: str) -> str:
            params = {"access_token": credential}
            refused = await service.http.request(method, path, params=params, headers=headers)
            assert refused.status_code == 401
            body = refused.json()
            told: str = body.get("detail") or body["error"]["message"]
            return told

        for credential in (token(), SHOP_KEY, "nonsense"):
            assert "in the Authorization header" in await detail(credential)
        assert "not valid" in await detail(token(), **bearer("sk-wrong"))


async def test_a_key_in_the_url_of_a_stream_is_told_that_it_may_not_be_there() -> None:
    async with running(**GUARDED) as service:
        params = ASKED | {"access_token": SHOP_KEY}
        refused, _ = await service.stream("GET", params=params)
        assert refused.status_code == 401
        assert "A client key must not stand in a URL" in refused.json()["detail"]
        assert SHOP_KEY not in refused.text
