"""Who may do what: every endpoint with every kind of credential, and pages of other sites."""

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.clock import skip
from tests.e2e.callers import ASKED, BLOG, EVIL, GUARDED, PAGE, SHOP, SHOP_KEY, bearer, token
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


def follows(response_id: str, client: dict[str, str] = SHOP) -> Shown:
    return Shown(client, body={"previous_response_id": response_id})


NOBODY = ("401",) * 7
EVERYTHING = ("200",) * 7
BY_TOKEN = ("200",) * 6 + ("403 token",)
NO_NEW_SEARCH = ("403 origin",) * 3 + ("200",) * 4
NO_NEW_BY_TOKEN = (*NO_NEW_SEARCH[:6], "403 token")
ELSEWHERE = ("403 origin",) * 6 + ("403 token",)
NOT_THAT_SEARCH = ("200",) * 3 + ("404",) * 3
BY_URL = ("401", "401", "200", "401", "200", "401", "401")
AT_ANOTHERS_PLACE = ("200", "404", "404", "404", "404", "404", "200")

TABLE: dict[str, tuple[Shown, tuple[str, ...]]] = {
    # the answers are in the order of ENDPOINTS
    "no key": (Shown(), NOBODY),
    "a wrong key": (Shown(bearer("sk-wrong")), NOBODY),
    "the right key": (Shown(SHOP), EVERYTHING),
    "a token": (Shown(bearer(token())), BY_TOKEN),
    "a token that has ended": (Shown(bearer(token(exp=1_700_000_000))), ("401 ended",) * 7),
    "a token bound to its page": (Shown(bearer(token(origin=EVIL)) | {"Origin": EVIL}), BY_TOKEN),
    "a token of another page": (Shown(bearer(token(origin=PAGE)) | {"Origin": EVIL}), ELSEWHERE),
    "a key in the query": (Shown(query={"access_token": SHOP_KEY}), NOBODY),
    "a token in the query": (Shown(query={"access_token": token()}), BY_URL),
    "a key from a foreign page": (Shown(SHOP | {"Origin": EVIL}), NO_NEW_SEARCH),
    "a key from an allowed page": (Shown(SHOP | {"Origin": PAGE}), EVERYTHING),
    "a key from our own page": (Shown(SHOP | {"Origin": "http://HOST"}), EVERYTHING),
    "a free token elsewhere": (Shown(bearer(token()) | {"Origin": EVIL}), NO_NEW_BY_TOKEN),
    "a page that hides its origin": (Shown(SHOP | {"Sec-Fetch-Mode": "no-cors"}), NO_NEW_SEARCH),
    "another client's search": (Shown(BLOG), (*NOT_THAT_SEARCH, "200")),
    "another client's token": (Shown(bearer(token(sub="blog"))), (*NOT_THAT_SEARCH, "403 token")),
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


async def test_only_where_there_are_no_keys_a_wrong_one_is_ignored() -> None:
    for client_keys, status in (("", 404), (GUARDED["client_keys"], 401)):
        async with running(client_keys=client_keys) as service:
            assert (await service.http.get("/search/srch_x")).status_code == 404
            shown = await service.http.get("/search/srch_x", headers=bearer("sk-wrong"))
            assert shown.status_code == status


@pytest.mark.parametrize("scenario", ["normal", "incomplete", "cut_after_results"])
async def test_an_answer_is_its_clients_and_is_forgotten_in_time(scenario: str) -> None:
    asked = ASKED | {"prompt": f"[sim {scenario}]"}
    async with running(**GUARDED, response_owner_ttl_s=60, cache_ttl_s=0) as service:
        made = (await service.http.post("/search", json=asked, headers=SHOP)).json()
        follow_up = follows(made.get("result", made)["upstream_response_id"]).body | {"prompt": "?"}
        for client, after_s, calls in ((BLOG, 0, 1), (SHOP, 0, 2), (SHOP, 61, 2)):
            skip(after_s)
            await service.http.post("/search", json=follow_up, headers=client)
            assert service.record.total == calls  # The upstream is asked, or not.


EXPOSED = {
    *("X-Request-ID", "X-Search-ID", "X-Cache", "RateLimit", "RateLimit-Policy", "Retry-After"),
    *("X-Should-Retry", "Cache-Control", "X-Accel-Buffering", "Location"),
}
ALLOWED_PREFLIGHT, REFUSED_PREFLIGHT = {200, 204}, {400, 403}


async def preflight(service: Running, origin: str, **headers: str) -> httpx.Response:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST", **headers}
    return await service.http.options("/search", headers=asks)


def cors_of(response: httpx.Response) -> dict[str, str]:
    return {
        name.removeprefix("access-control-"): value
        for name, value in response.headers.items()
        if name.startswith("access-control-")
    }


async def test_foreign_pages_can_read_nothing() -> None:
    async with running(**GUARDED | {"client_token_secret": ""}) as service:
        for origin in (EVIL, "null", "", "http://app.example", f"{PAGE}.evil.example"):
            headers = SHOP | {"Origin": origin}
            asked, *answers = [
                await preflight(service, origin),
                await service.http.post("/search", json=ASKED, headers=headers),
                await service.http.post("/search", files={"image": ("x", b"x")}, headers=headers),
                await service.http.get("/search/srch_x", headers=headers),
                await service.http.get("/healthz", headers=headers),
            ]
            assert asked.status_code in REFUSED_PREFLIGHT, origin
            assert [answer.status_code for answer in answers] == [403, 403, 404, 200], origin
            assert "allow-origin" not in cors_of(asked), origin
            for answer in answers:
                assert "allow-origin" not in cors_of(answer), origin
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["x-frame-options"] == "DENY"
                assert "default-src 'none'" in answer.headers["content-security-policy"]
            # Else a cache could hand an answer to a page that it was not made for.
            assert "origin" in asked.headers["vary"].lower()
            assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
        assert service.record.total == 0


SHELL = "capacitor://localhost"
ALLOWED: list[tuple[str, str, str]] = [
    # CORS_ORIGINS, the page's origin, and what is allowed
    ("HTTPS://App.Example:443", PAGE, PAGE),
    (f"https://other.example, {SHELL}/", SHELL, SHELL),
    ("*", "null", "*"),
]
WANTED = "authorization,content-type,idempotency-key,x-stainless-arch,last-event-id"


@pytest.mark.parametrize(("origins", "origin", "allowed"), ALLOWED)
async def test_allowed_pages_search_and_read_the_answers_headers(
    origins: str, origin: str, allowed: str
) -> None:
    async with running(cors_origins=origins) as service:
        headers = {"Origin": origin}
        asked = await preflight(service, origin, **{"Access-Control-Request-Headers": WANTED})
        assert asked.status_code in ALLOWED_PREFLIGHT
        cors = cors_of(asked)
        assert {"GET", "POST", "DELETE"} <= set(cors["allow-methods"].split(", "))
        assert set(cors["allow-headers"].replace(" ", "").split(",")) >= set(WANTED.split(","))
        response = await service.http.post("/search", json=ASKED, headers=headers)
        streamed, _ = await service.stream("GET", params=ASKED, headers=headers)
        for answer in (response, streamed):
            assert answer.status_code == 200
            assert set(cors_of(answer)["expose-headers"].split(", ")) >= EXPOSED
        for answer in (asked, response, streamed):
            assert cors_of(answer)["allow-origin"] == allowed
            assert "allow-credentials" not in cors_of(answer)


async def test_our_own_pages_need_no_leave_whatever_our_name_is(guarded: Running) -> None:
    port = guarded.url.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "search.example"):
        headers = SHOP | {"Host": host, "Origin": f"https://{host}"}
        response = await guarded.http.post("/search", json=ASKED, headers=headers)
        assert response.status_code == 200
