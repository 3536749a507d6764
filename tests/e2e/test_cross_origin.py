"""What pages of other sites may do and read, and what no browser may do with our answers."""

from typing import Any

import httpx
import pytest

from tests.e2e.callers import ASKED, EVIL, GUARDED, PAGE, SHOP, bearer, token
from tests.service import Running, running

EXPOSED = {
    *("X-Request-ID", "X-Search-ID", "X-Cache", "RateLimit", "RateLimit-Policy", "Retry-After"),
    *("X-Should-Retry", "Cache-Control", "X-Accel-Buffering", "Location"),
}
ALLOWED_PREFLIGHT, REFUSED_PREFLIGHT = {200, 204}, {400, 403}


async def preflight(service: Running, path: str, origin: str, **headers: str) -> httpx.Response:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST", **headers}
    return await service.http.options(path, headers=asks)


def cors_of(response: httpx.Response) -> dict[str, str]:
    return {
        name.removeprefix("access-control-"): value
        for name, value in response.headers.items()
        if name.startswith("access-control-")
    }


async def test_a_preflight_of_an_allowed_page_is_answered_with_what_it_asked_for(
    guarded: Running,
) -> None:
    wanted = "authorization,content-type,idempotency-key,x-stainless-arch,last-event-id"
    for path in ("/search", "/search/stream", "/search/srch_x", "/tokens"):
        headers = {"Access-Control-Request-Headers": wanted}
        response = await preflight(guarded, path, PAGE, **headers)
        assert response.status_code in ALLOWED_PREFLIGHT
        cors = cors_of(response)
        assert cors["allow-origin"] == PAGE
        assert {"GET", "POST", "DELETE"} <= set(cors["allow-methods"].split(", "))
        assert set(cors["allow-headers"].replace(" ", "").split(",")) >= set(wanted.split(","))
        assert "allow-credentials" not in cors
        assert "origin" in response.headers["vary"].lower()


async def test_foreign_pages_can_read_nothing() -> None:
    async with running(**GUARDED | {"client_token_secret": ""}) as service:
        for origin in (EVIL, "null", "", "http://app.example", f"{PAGE}.evil.example"):
            headers = SHOP | {"Origin": origin}
            asked, *answers = [
                await preflight(service, "/search", origin),
                await service.http.post("/search", json=ASKED, headers=headers),
                await service.http.post("/search", files={"image": ("x", b"x")}, headers=headers),
                await service.http.get("/search/srch_x", headers=headers),
                await service.http.get("/healthz", headers=headers),
            ]
            assert asked.status_code in REFUSED_PREFLIGHT, origin
            assert [answer.status_code for answer in answers] == [403, 403, 404, 200], origin
            for answer in (asked, *answers):
                assert "allow-origin" not in cors_of(answer), origin
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


@pytest.mark.parametrize(("origins", "origin", "allowed"), ALLOWED)
async def test_allowed_pages_search_and_read_the_answers_headers(
    origins: str, origin: str, allowed: str
) -> None:
    async with running(cors_origins=origins) as service:
        headers = {"Origin": origin}
        response = await service.http.post("/search", json=ASKED, headers=headers)
        streamed, _ = await service.stream("GET", params=ASKED, headers=headers)
        for answer in (response, streamed):
            assert answer.status_code == 200
            cors = cors_of(answer)
            assert set(cors["expose-headers"].split(", ")) >= EXPOSED
            assert cors["allow-origin"] == allowed
            assert "allow-credentials" not in cors


FOREIGN = (403, "origin_not_allowed")
CLAIMS: list[tuple[dict[str, Any], tuple[int, str]]] = [
    # what the token of a page says, and what the page reads
    ({"origin": PAGE}, (200, "")),
    ({"origin": PAGE, "exp": 1}, (401, "token_expired")),
    ({"origin": EVIL}, FOREIGN),
    ({}, FOREIGN),
]


async def test_a_page_reads_what_its_token_gets_and_why_it_is_refused() -> None:
    """No preflight shows a token, so none can be held against the page that a token is for."""
    async with running(**GUARDED | {"cors_origins": ""}) as service:
        assert (await preflight(service, "/search", PAGE)).status_code in ALLOWED_PREFLIGHT
        for claims, want in CLAIMS:
            headers = bearer(token(**claims)) | {"Origin": PAGE}
            answer = await service.http.post("/search", json=ASKED, headers=headers)
            assert (answer.status_code, answer.json().get("code", "")) == want
            assert cors_of(answer)["allow-origin"] == PAGE
            assert "X-Request-ID" in cors_of(answer)["expose-headers"]
            assert "origin" in answer.headers["vary"].lower()
        assert service.record.total == 1


async def test_our_own_pages_need_no_leave_whatever_our_name_is(guarded: Running) -> None:
    port = guarded.url.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "search.example"):
        headers = SHOP | {"Host": host, "Origin": f"https://{host}"}
        response = await guarded.http.post("/search", json=ASKED, headers=headers)
        assert response.status_code == 200


@pytest.mark.parametrize("origins", ["", "*"])
async def test_a_request_whose_page_may_hide_its_origin_starts_no_search(origins: str) -> None:
    headers = {"Sec-Fetch-Mode": "No-CORS", "Accept": "text/event-stream"}
    async with running(cors_origins=origins) as service:
        for path in ("/search/stream", "/search", "/v1/responses"):
            refused = await service.http.post(path, json=ASKED, headers=headers)
            assert refused.status_code == 403, path
        refused = await service.http.get("/search/stream", params=ASKED, headers=headers)
        assert refused.json()["code"] == "origin_not_allowed"
        assert service.record.total == 0


async def test_every_answer_bears_the_security_headers(guarded: Running) -> None:
    streamed, _ = await guarded.stream(json=ASKED, headers=SHOP)
    for answer in (
        streamed,
        await preflight(guarded, "/search", PAGE),
        await guarded.http.post("/search", json=ASKED),
        await guarded.http.get("/openapi.json"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"]
