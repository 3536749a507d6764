"""What pages of other sites may do and read, and what no browser may do with our answers."""

import httpx
import pytest

from tests.e2e.callers import ASKED, EVIL, GUARDED, PAGE, SHOP
from tests.service import Running, running

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
            for answer in (asked, *answers):
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
