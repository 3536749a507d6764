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
PATHS = ("/search", "/search/stream", "/search/srch_x", "/search/srch_x/stream", "/tokens")


async def preflight(service: Running, path: str, origin: str, **headers: str) -> httpx.Response:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST", **headers}
    return await service.http.options(path, headers=asks)


def cors_of(response: httpx.Response) -> dict[str, str]:
    return {
        name.removeprefix("access-control-"): value
        for name, value in response.headers.items()
        if name.startswith("access-control-")
    }


def code_of(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    return response.status_code, body.get("error", body)["code"]


async def test_a_preflight_of_an_allowed_page_is_answered_with_what_it_asked_for(
    guarded: Running,
) -> None:
    wanted = "authorization,content-type,idempotency-key,x-stainless-arch,last-event-id"
    headers = {"Access-Control-Request-Headers": wanted}
    for path in PATHS:
        response = await preflight(guarded, path, PAGE, **headers)
        assert response.status_code in ALLOWED_PREFLIGHT
        cors = cors_of(response)
        assert cors["allow-origin"] == PAGE
        assert {"GET", "POST", "DELETE"} <= set(cors["allow-methods"].split(", "))
        assert set(cors["allow-headers"].replace(" ", "").split(",")) >= set(wanted.split(","))
        assert "allow-credentials" not in cors
        assert "origin" in response.headers["vary"].lower()


@pytest.mark.parametrize("origin", [EVIL, "null"])
async def test_where_tokens_are_made_a_preflight_says_yes_and_the_request_no(
    origin: str, guarded: Running
) -> None:
    """No preflight shows a token, so it cannot be held against the page that the token is for."""
    calls = guarded.record.total
    asked = await preflight(guarded, "/search", origin)
    assert asked.status_code in ALLOWED_PREFLIGHT
    assert cors_of(asked)["allow-origin"] == origin
    refused = await guarded.http.post("/search", json=ASKED, headers=SHOP | {"Origin": origin})
    assert (refused.status_code, cors_of(refused)["allow-origin"]) == (403, origin)
    assert guarded.record.total == calls


FOREIGN = (EVIL, "null", "", "http://app.example", f"{PAGE}.evil.example", f"{PAGE}:8443", "*")


async def test_foreign_pages_can_read_nothing() -> None:
    async with running(**GUARDED | {"client_token_secret": ""}) as service:
        for origin in FOREIGN:
            headers = SHOP | {"Origin": origin}
            asked, *answers = [
                await preflight(service, "/search", origin),
                await service.http.post("/search", json=ASKED, headers=headers),
                await service.http.get("/search/srch_x", headers=headers),
                await service.http.get("/healthz", headers=headers),
                await service.http.get("/nowhere", headers=headers),
            ]
            assert asked.status_code in REFUSED_PREFLIGHT, origin
            assert [answer.status_code for answer in answers] == [403, 404, 200, 404], origin
            for answer in (asked, *answers):
                assert "allow-origin" not in cors_of(answer), origin
            # Else a cache could hand an answer to a page that it was not made for.
            assert "origin" in asked.headers["vary"].lower()
            assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
        assert service.record.total == 0


LOCAL, SHELL = "http://localhost:5173", "capacitor://localhost"
ALLOWED: list[tuple[str, str, str]] = [
    # CORS_ORIGINS, the page's origin, and what is allowed
    (PAGE, PAGE, PAGE),
    (f"https://other.example, {PAGE}/", PAGE, PAGE),
    ("HTTPS://App.Example:443", PAGE, PAGE),
    (f"{LOCAL},{SHELL}", LOCAL, LOCAL),
    (f"{LOCAL},{SHELL}", SHELL, SHELL),
    ("*", EVIL, "*"),
    ("*", "null", "*"),
]


@pytest.mark.parametrize(("origins", "origin", "allowed"), ALLOWED)
async def test_allowed_pages_search_and_read_the_answers_headers(
    origins: str, origin: str, allowed: str
) -> None:
    async with running(cors_origins=origins) as service:
        assert (await preflight(service, "/search", origin)).status_code in ALLOWED_PREFLIGHT
        headers = {"Origin": origin}
        response = await service.http.post("/search", json=ASKED, headers=headers)
        streamed, _ = await service.stream("GET", params=ASKED, headers=headers)
        for answer in (response, streamed):
            assert answer.status_code == 200
            cors = cors_of(answer)
            assert set(cors["expose-headers"].split(", ")) >= EXPOSED
            assert cors["allow-origin"] == allowed
            assert "allow-credentials" not in cors


async def test_errors_can_be_read_by_allowed_pages_too() -> None:
    async with running(**GUARDED | {"rate_limit": "1/day"}) as service:
        for status, sent, who in ((401, ASKED, {}), (422, {}, SHOP), (429, ASKED, SHOP)):
            headers = {"Origin": PAGE} | who
            response = await service.http.post("/search", headers=headers, json=sent)
            assert (response.status_code, cors_of(response)["allow-origin"]) == (status, PAGE)


async def test_a_page_that_a_token_is_bound_to_reads_what_the_token_gets() -> None:
    async with running(**GUARDED | {"cors_origins": ""}) as service:
        params = ASKED | {"access_token": token(origin=PAGE)}
        response, events = await service.stream("GET", params=params, headers={"Origin": PAGE})
        assert events[-1].event == "search.completed"
        assert cors_of(response)["allow-origin"] == PAGE
        assert (await preflight(service, "/search", PAGE)).status_code in ALLOWED_PREFLIGHT
        bound = bearer(token(origin=PAGE)) | {"Origin": PAGE}
        response = await service.http.post("/search", json=ASKED, headers=bound)
        assert (response.status_code, cors_of(response)["allow-origin"]) == (200, PAGE)


async def test_a_page_whose_token_is_refused_reads_that_it_is() -> None:
    foreign = (403, "origin_not_allowed")
    claims: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({"origin": PAGE, "exp": 1}, (401, "token_expired")),
        ({"origin": EVIL}, foreign),
        ({}, foreign),
    ]
    async with running(**GUARDED | {"cors_origins": ""}) as service:
        for changed, want in claims:
            headers = bearer(token(**changed)) | {"Origin": PAGE}
            for path in ("/search", "/v1/responses"):
                refused = await service.http.post(path, json=ASKED, headers=headers)
                assert code_of(refused) == want
                assert cors_of(refused)["allow-origin"] == PAGE
                assert "X-Request-ID" in cors_of(refused)["expose-headers"]
                assert "origin" in refused.headers["vary"].lower()
        assert service.record.total == 0


async def test_our_own_pages_need_no_leave(service: Running) -> None:
    async with running(allowed_hosts="127.0.0.1,localhost,search.example") as named:
        port = named.url.rpartition(":")[2]
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", "search.example"):
            headers = {"Host": host, "Origin": f"https://{host}"}
            response = await named.http.post("/search", json=ASKED, headers=headers)
            assert response.status_code == 200
            assert "allow-origin" not in cors_of(response)
    bare = {"Host": "", "Origin": "https://"}
    assert (await service.http.post("/search", json=ASKED, headers=bare)).status_code == 403


async def test_a_foreign_form_is_refused_though_it_needs_no_preflight(service: Running) -> None:
    calls = service.record.total
    for origin in (EVIL, "null"):
        files = {"image": ("x.jpg", b"x" * 1_000_000)}
        refused = await service.http.post("/search", files=files, headers={"Origin": origin})
        assert code_of(refused) == (403, "origin_not_allowed")
        refused, _ = await service.stream("GET", params=ASKED, headers={"Origin": origin})
        assert refused.status_code == 403
    assert service.record.total == calls


@pytest.mark.parametrize("origins", ["", "*"])
async def test_a_request_whose_page_may_hide_its_origin_starts_no_search(origins: str) -> None:
    async with running(cors_origins=origins) as service:
        for method, path in (
            ("GET", "/search/stream"),
            *(("POST", path) for path in ("/search/stream", "/search", "/v1/responses")),
        ):
            sent: dict[str, Any] = {"params" if method == "GET" else "json": ASKED}
            for mode in ("no-cors", "No-CORS"):
                headers = {"Sec-Fetch-Mode": mode, "Accept": "text/event-stream"}
                refused = await service.http.request(method, path, headers=headers, **sent)
                assert code_of(refused) == (403, "origin_not_allowed"), path
        assert service.record.total == 0


async def test_other_modes_of_our_own_pages_and_of_event_sources_are_let_in(
    service: Running,
) -> None:
    for mode in ("cors", "same-origin", "navigate"):
        headers = {"Sec-Fetch-Mode": mode}
        response, events = await service.stream("GET", params=ASKED, headers=headers)
        assert (response.status_code, events[-1].event) == (200, "search.completed")
        form = {"image_url": (None, ASKED["image_url"])}
        own = headers | {"Origin": service.url}
        response = await service.http.post("/search", headers=own, files=form)
        assert response.status_code == 200


async def test_every_answer_bears_the_security_headers(guarded: Running) -> None:
    streamed, _ = await guarded.stream(json=ASKED, headers=SHOP)
    paths = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/nowhere")
    for answer in (
        streamed,
        await preflight(guarded, "/search", PAGE),
        await guarded.http.post("/search", json=ASKED),
        await guarded.http.put("/search"),
        *[await guarded.http.get(path) for path in paths],
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"]
