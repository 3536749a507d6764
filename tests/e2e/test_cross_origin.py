"""What pages of other sites may do and read, and what no browser may do with our answers."""

from typing import Any

import httpx
import pytest

from tests.e2e.callers import ASKED, EVIL, GUARDED, PAGE, SHOP, bearer, token
from tests.service import Running, running

EXPOSED = {
    "X-Request-ID",
    "X-Search-ID",
    "X-Cache",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Should-Retry",
    "Cache-Control",
    "X-Accel-Buffering",
    "Location",
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


@pytest.mark.parametrize("path", PATHS)
async def test_a_preflight_of_an_allowed_page_is_answered_with_what_it_asked_for(path: str) -> None:
    wanted = "authorization,content-type,idempotency-key,x-stainless-arch,last-event-id"
    async with running(**GUARDED) as service:
        headers = {"Access-Control-Request-Headers": wanted}
        response = await preflight(service, path, PAGE, **headers)
        assert response.status_code in ALLOWED_PREFLIGHT
        cors = cors_of(response)
        assert cors["allow-origin"] == PAGE
        assert {"GET", "POST", "DELETE"} <= set(cors["allow-methods"].split(", "))
        assert set(cors["allow-headers"].replace(" ", "").split(",")) >= set(wanted.split(","))
        assert "allow-credentials" not in cors
        assert "origin" in response.headers["vary"].lower()


@pytest.mark.parametrize("origin", [EVIL, "null"])
async def test_where_tokens_are_made_a_preflight_says_yes_and_the_request_no(origin: str) -> None:
    """No preflight shows a token, so it cannot be held against the page that the token is for."""
    async with running(**GUARDED) as service:
        asked = await preflight(service, "/search", origin)
        assert asked.status_code in ALLOWED_PREFLIGHT
        assert cors_of(asked)["allow-origin"] == origin
        refused = await service.http.post("/search", json=ASKED, headers=SHOP | {"Origin": origin})
        assert (refused.status_code, cors_of(refused)["allow-origin"]) == (403, origin)
        assert service.record.total == 0


FOREIGN = (EVIL, "null", "", "http://app.example", f"{PAGE}.evil.example", f"{PAGE}:8443", "*")


@pytest.mark.parametrize("origin", FOREIGN)
async def test_foreign_pages_can_read_nothing(origin: str) -> None:
    async with running(**GUARDED | {"client_token_secret": ""}) as service:
        asked = await preflight(service, "/search", origin)
        headers = SHOP | {"Origin": origin}
        answers = [
            asked,
            await service.http.post("/search", json=ASKED, headers=headers),
            await service.http.get("/search/srch_x", headers=headers),
            await service.http.get("/healthz", headers=headers),
            await service.http.get("/nowhere", headers=headers),
        ]
        assert asked.status_code in REFUSED_PREFLIGHT
        assert [answer.status_code for answer in answers[1:]] == [403, 404, 200, 404]
        for answer in answers:
            assert "allow-origin" not in cors_of(answer)
        # Else a cache could hand an answer to a page that it was not made for.
        assert "origin" in asked.headers["vary"].lower()
        assert {answer.headers["cache-control"] for answer in answers[1:]} == {"no-store"}
        assert service.record.total == 0


ALLOWED: dict[str, tuple[str, str, str]] = {
    # CORS_ORIGINS, the page's origin, and what is allowed
    "one origin": (PAGE, PAGE, PAGE),
    "one of several": (f"https://other.example, {PAGE}", PAGE, PAGE),
    "with a slash at its end": (f"{PAGE}/", PAGE, PAGE),
    "with its port, in capitals": ("HTTPS://App.Example:443", PAGE, PAGE),
    "with another port": (
        "http://localhost:5173",
        "http://localhost:5173",
        "http://localhost:5173",
    ),
    "of an app shell": ("capacitor://localhost", "capacitor://localhost", "capacitor://localhost"),
    "any": ("*", EVIL, "*"),
    "any, and none": ("*", "null", "*"),
}


@pytest.mark.parametrize("case", ALLOWED)
async def test_allowed_pages_search_and_read_the_answers_headers(case: str) -> None:
    origins, origin, allowed = ALLOWED[case]
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
        assert "location" in streamed.headers


async def test_errors_can_be_read_by_allowed_pages_too() -> None:
    async with running(**GUARDED | {"rate_limit": "2/day"}) as service:
        asked: list[tuple[int, dict[str, Any]]] = [
            (401, {"json": ASKED}),
            (422, {"json": {}, "headers": SHOP}),
            (400, {"content": b"", "headers": SHOP}),
            (429, {"json": ASKED, "headers": SHOP}),
        ]
        for status, request in asked:
            headers = {"Origin": PAGE} | request.pop("headers", {})
            response = await service.http.post("/search", headers=headers, **request)
            assert response.status_code == status
            assert cors_of(response)["allow-origin"] == PAGE
        gone = await service.http.get("/nowhere", headers={"Origin": PAGE})
        assert cors_of(gone)["allow-origin"] == PAGE


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


REFUSED_TOKENS: dict[str, tuple[dict[str, Any], int, set[str]]] = {
    # what the token claims, and what its page gets
    "ended": ({"origin": PAGE, "exp": 1}, 401, {"token_expired"}),
    "of another page": ({"origin": EVIL}, 403, {"origin_not_allowed"}),
    "of no page": ({}, 403, {"origin_not_allowed"}),
}


@pytest.mark.parametrize("kind", REFUSED_TOKENS)
async def test_a_page_whose_token_is_refused_reads_that_it_is(kind: str) -> None:
    changed, status, codes = REFUSED_TOKENS[kind]
    async with running(**GUARDED | {"cors_origins": ""}) as service:
        headers = bearer(token(**changed)) | {"Origin": PAGE}
        for path in ("/search", "/v1/responses"):
            refused = await service.http.post(path, json=ASKED, headers=headers)
            body = refused.json()
            assert refused.status_code == status
            assert body.get("error", body)["code"] in codes
            assert cors_of(refused)["allow-origin"] == PAGE
            assert "X-Request-ID" in cors_of(refused)["expose-headers"]
            assert "origin" in refused.headers["vary"].lower()
        assert service.record.total == 0


async def test_where_tokens_are_made_a_foreign_page_without_one_reads_refusals() -> None:
    """Any page may hold a token, so all may read; browsers add no credentials of their own."""
    async with running(**GUARDED) as service:
        foreign = {"Origin": EVIL}
        for path, headers, status in (
            ("/search/srch_x", foreign, 401),
            ("/search/srch_x", foreign | bearer(token()), 404),
            ("/v1/models", foreign, 401),
            ("/nowhere", foreign, 404),
        ):
            answer = await service.http.get(path, headers=headers)
            assert answer.status_code == status, path
            assert "allow-credentials" not in cors_of(answer)
        minted = await service.http.post("/tokens", headers=foreign | bearer(token()))
        assert (minted.status_code, cors_of(minted)["allow-origin"]) == (403, EVIL)


async def test_our_own_pages_need_no_leave() -> None:
    async with running(allowed_hosts="127.0.0.1,localhost,search.example") as service:
        port = service.url.rpartition(":")[2]
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", "search.example"):
            headers = {"Host": host, "Origin": f"https://{host}"}
            response = await service.http.post("/search", json=ASKED, headers=headers)
            assert response.status_code == 200
            assert "allow-origin" not in cors_of(response)
    async with running() as service:
        bare = {"Host": "", "Origin": "https://"}
        response = await service.http.post("/search", json=ASKED, headers=bare)
        assert response.status_code == 403


async def test_a_foreign_form_is_refused_though_it_needs_no_preflight() -> None:
    async with running() as service:
        for origin in (EVIL, "null"):
            files = {"image": ("x.jpg", b"x" * 1_000_000)}
            response = await service.http.post("/search", files=files, headers={"Origin": origin})
            assert (response.status_code, response.json()["code"]) == (403, "origin_not_allowed")
            response, _ = await service.stream("GET", params=ASKED, headers={"Origin": origin})
            assert response.status_code == 403
        assert service.record.total == 0


STARTING = (
    ("GET", "/search/stream"),
    ("POST", "/search/stream"),
    ("POST", "/search"),
    ("POST", "/v1/responses"),
)


@pytest.mark.parametrize("origins", ["", "*"])
@pytest.mark.parametrize(("method", "path"), STARTING)
async def test_a_request_whose_page_may_hide_its_origin_starts_no_search(
    method: str, path: str, origins: str
) -> None:
    sent: dict[str, Any] = {"params": ASKED} if method == "GET" else {"json": ASKED}
    async with running(cors_origins=origins) as service:
        for mode in ("no-cors", "No-CORS"):
            headers = {"Sec-Fetch-Mode": mode, "Accept": "text/event-stream"}
            refused = await service.http.request(method, path, headers=headers, **sent)
            body = refused.json()
            assert (refused.status_code, body.get("error", body)["code"]) == (
                403,
                "origin_not_allowed",
            )
        assert service.record.total == 0


@pytest.mark.parametrize("mode", ["cors", "same-origin", "navigate"])
async def test_other_modes_of_our_own_pages_and_of_event_sources_are_let_in(mode: str) -> None:
    async with running() as service:
        headers = {"Sec-Fetch-Mode": mode}
        response, events = await service.stream("GET", params=ASKED, headers=headers)
        assert (response.status_code, events[-1].event) == (200, "search.completed")
        form = {"image_url": ASKED["image_url"]}
        own = headers | {"Origin": service.url}
        response = await service.http.post(
            "/search", files={"prompt": (None, "x")}, data=form, headers=own
        )
        assert response.status_code == 200


@pytest.mark.parametrize("name", ["Sec-Purpose", "Purpose", "X-Moz"])
async def test_a_prefetch_starts_no_search(name: str) -> None:
    async with running() as service:
        for value in ("prefetch", "prefetch;prerender"):
            response, _ = await service.stream("GET", params=ASKED, headers={name: value})
            assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")
        assert service.record.total == 0


async def test_every_answer_bears_the_security_headers() -> None:
    async with running(**GUARDED) as service:
        streamed, _ = await service.stream(json=ASKED, headers=SHOP)
        answers = [
            streamed,
            await preflight(service, "/search", PAGE),
            await service.http.post("/search", json=ASKED),
            await service.http.put("/search"),
            *[
                await service.http.get(path)
                for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/nowhere")
            ],
        ]
        for answer in answers:
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["x-request-id"]
