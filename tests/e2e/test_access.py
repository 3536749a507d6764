"""Who may do what: every endpoint with every kind of credential."""

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
    SECRET,
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
    """What a request carries; `HOST`, `SEARCH` and `RESPONSE` stand for what a test makes."""

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
            code = response.json()["code"] if response.is_error else ""
            assert str(response.status_code) == want[:3], endpoint
            ended = want == "401" and "ended" in kind
            assert code == ("token_expired" if ended else CODES[want]), endpoint
            assert response.headers.get("www-authenticate") == ("Bearer" if want == "401" else None)
            if want == "422":
                assert response.json()["errors"][0]["field"] == "previous_response_id"
        for endpoint in OPEN:
            assert (await ask(service, endpoint, shown, made)).status_code == 200


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
    "another page's token": (
        bearer(token(origin=PAGE)),
        {},
        (FOREIGN, FOREIGN, FOREIGN, FOREIGN, IN),
    ),
    "a key in the URL": ({}, {"access_token": SHOP_KEY}, (NO, NO, NO, NO, NO)),
    "a token in the URL": ({}, {"access_token": token()}, (IN, IN, IN, IN, NO)),
    "an ended token in the URL": ({}, {"access_token": token(exp=1)}, (NO, NO, NO, NO, NO)),
    "another page's token in the URL": (
        {},
        {"access_token": token(origin=PAGE)},
        (FOREIGN, FOREIGN, FOREIGN, FOREIGN, NO),
    ),
}


@pytest.mark.parametrize("setup", range(len(SETUPS)))
async def test_who_is_let_in_follows_from_the_settings_and_what_is_shown(setup: int) -> None:
    async with running(**SETUPS[setup]) as service:
        answers = {}
        for kind, (headers, query, _) in SHOWN.items():
            sent = headers | {"Origin": EVIL, "Accept": "text/event-stream"}
            answer = await service.http.get("/search/srch_x/stream", headers=sent, params=query)
            answers[kind] = answer.status_code
    assert answers == {kind: statuses[setup] for kind, (*_, statuses) in SHOWN.items()}


async def test_for_anonymous_callers_the_id_is_the_capability() -> None:
    async with running() as service:
        made = (await service.http.post("/search", json=ASKED)).json()
        assert (await service.http.get(f"/search/{made['id']}")).json() == made
        follow_up = {"prompt": "And?", "previous_response_id": made["upstream_response_id"]}
        assert (await service.http.post("/search", json=follow_up)).json()["status"] == "completed"


NO_STREAMS = (("GET", "/search/srch_x"), ("POST", "/search/stream"), ("POST", "/v1/responses"))


@pytest.mark.parametrize(("method", "path"), NO_STREAMS)
async def test_a_token_in_a_url_that_takes_none_is_referred_to_the_header(
    method: str, path: str
) -> None:
    async with running(**GUARDED) as service:
        for credential in (token(), SHOP_KEY, "nonsense"):
            query = {"access_token": credential}
            refused = await service.http.request(method, path, params=query)
            assert refused.status_code == 401
            body = refused.json()
            assert "Authorization" in (body.get("detail") or body["error"]["message"])
            assert credential not in refused.text


async def test_a_key_in_the_url_of_a_stream_is_refused_as_a_key() -> None:
    async with running(**GUARDED) as service:
        refused, _ = await service.stream("GET", params=ASKED | {"access_token": SHOP_KEY})
        assert refused.status_code == 401
        assert "client key" in refused.json()["detail"]
        assert SHOP_KEY not in refused.text
