"""Browser tokens: how they are minted, which ones are honoured, and which never are."""

import base64
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import jwt
import pytest

from tests.e2e.callers import (
    ASKED,
    EVIL,
    GUARDED,
    PAGE,
    SECRET,
    SHOP,
    bearer,
    claims,
    token,
)
from tests.service import Running, running
from tests.waiting import eventually

OLDER_SECRET = "canary-secret-of-at-least-32-bytes-0"
AS_JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", name="service")
async def open_service() -> AsyncGenerator[Running, None]:
    async with running(**GUARDED) as service:
        yield service


async def look(service: Running, credential: str, **headers: str) -> httpx.Response:
    return await service.http.get("/search/srch_x", headers=bearer(credential) | headers)


async def mint(service: Running, **body: Any) -> dict[str, Any]:
    minted = await service.http.post("/tokens", headers=SHOP, json=body)
    assert minted.status_code == 200
    assert minted.headers["cache-control"] == "no-store"
    answer: dict[str, Any] = minted.json()
    return answer


async def test_a_minted_token_has_the_contracts_claims_and_no_others(service: Running) -> None:
    minted = await mint(service, origin="HTTPS://App.Example:443/", ttl_s=60)
    other = await mint(service)
    body = jwt.decode(minted["token"], SECRET, ["HS256"])
    assert body["exp"] == minted["expires_at"]
    assert abs(body["exp"] - time.time() - 60) <= 5
    assert (body["sub"], body["origin"]) == ("shop", PAGE)
    assert body.keys() == {"sub", "exp", "jti", "origin"}
    plain = jwt.decode(other["token"], SECRET, ["HS256"])
    assert plain.keys() == {"sub", "exp", "jti"}
    assert abs(plain["exp"] - time.time() - 900) <= 5
    assert plain["jti"] != body["jti"]


async def test_a_token_is_honoured_on_its_page_and_until_it_ends(service: Running) -> None:
    bound = (await mint(service, origin=PAGE))["token"]
    assert (await look(service, bound, Origin=PAGE)).status_code == 404
    assert (await look(service, bound, Origin="https://APP.example:443")).status_code == 404
    for origin in (EVIL, "http://app.example", "null", ""):
        refused = await look(service, bound, Origin=origin)
        assert refused.json()["code"] == "origin_not_allowed", origin
    short = (await mint(service, ttl_s=1))["token"]

    async def ended() -> bool:
        answer = await look(service, short)
        assert answer.status_code == 404 or answer.json()["code"] == "token_expired"
        return answer.status_code == 401

    await eventually(ended)


ORIGINS = ("null", "app.example", f"{PAGE}/x", "https://u@app.example")
BODIES: list[tuple[Any, int, str]] = [
    *(({"ttl_s": ttl_s}, 422, "ttl_s") for ttl_s in (901, 0, "60")),
    *(({"origin": origin}, 422, "origin") for origin in ORIGINS),
    ({"sub": "blog"}, 422, "sub"),
    ([], 400, ""),
    ("{", 400, ""),
]


async def test_a_token_that_cannot_be_as_asked_is_refused(service: Running) -> None:
    for body, status, field in BODIES:
        content = body if isinstance(body, str) else json.dumps(body)
        answer = await service.http.post("/tokens", headers=SHOP | AS_JSON, content=content)
        assert answer.status_code == status, body
        if field:
            assert answer.json()["errors"][0]["field"] == field, body
    as_text = SHOP | {"Content-Type": "text/plain"}
    for content, status in ((b"", 200), (b'{"ttl_s": 60}', 400)):
        answer = await service.http.post("/tokens", headers=as_text, content=content)
        assert answer.status_code == status
    async with running(**GUARDED | {"client_token_secret": ""}) as keyed:
        assert (await keyed.http.post("/tokens", headers=SHOP)).status_code == 404
        assert (await look(keyed, token())).status_code == 401


async def test_secrets_are_changed_without_refusing_tokens_in_use() -> None:
    old = jwt.encode(claims(), OLDER_SECRET, algorithm="HS256")
    rows = {SECRET: (401, 404), f"{SECRET},{OLDER_SECRET}": (404, 404), OLDER_SECRET: (404, 401)}
    for secrets, statuses in rows.items():
        async with running(**GUARDED | {"client_token_secret": secrets}) as service:
            answers = [await look(service, one) for one in (old, token())]
            assert tuple(answer.status_code for answer in answers) == statuses
    async with running(**GUARDED | {"client_token_secret": f"{SECRET},{OLDER_SECRET}"}) as service:
        jwt.decode((await mint(service))["token"], SECRET, ["HS256"])


async def test_a_backend_with_the_secret_mints_for_any_client(service: Running) -> None:
    made = await service.http.post("/search", json=ASKED, headers=bearer(token(sub="user 7")))
    path = f"/search/{made.json()['id']}"
    for sub, status in (("user 7", 200), ("shop", 404)):
        found = await service.http.get(path, headers=bearer(token(sub=sub)))
        assert found.status_code == status
    for written in ("HTTPS://APP.example:443", f"{PAGE}/", f"{PAGE}:443/"):
        assert (await look(service, token(origin=written), Origin=PAGE)).status_code == 404


AMISS: list[dict[str, Any]] = [
    *({name: None} for name in ("sub", "exp", "jti")),
    *({name: value} for name in ("sub", "jti") for value in (7, "", "x" * 257)),
    *({"origin": value} for value in (7, "", [PAGE])),
    *({"exp": value} for value in (1, True, "soon", float("nan"))),
    *({"nbf": value} for value in (9e12, "soon")),
    {"aud": "another-service"},
]


async def test_claims_that_are_missing_or_wrong_are_refused(service: Running) -> None:
    for changed in AMISS:
        kept = {name: value for name, value in claims(**changed).items() if value is not None}
        credential = jwt.encode(kept, SECRET, algorithm="HS256")
        assert (await look(service, credential)).status_code == 401, changed


def raw(header: bytes, payload: bytes = b"{}", signature: bytes = b"") -> str:
    parts = (header, payload, signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def forgeries() -> dict[str, str]:
    body = json.dumps(claims()).encode()
    head, payload, signature = token().split(".")
    return {
        "alg none": raw(b'{"alg":"none"}', body),
        "alg HS512": jwt.encode(claims(), SECRET + SECRET, algorithm="HS512"),
        "alg RS256": raw(b'{"alg":"RS256"}', body, b"x"),
        "alg is a list": raw(b'{"alg":["HS256"]}', body, b"x"),
        "another secret": jwt.encode(claims(), "x" * 32, algorithm="HS256"),
        "a changed body": f"{head}.{raw(b'', body).split('.')[1]}x.{signature}",
        "a cut signature": f"{head}.{payload}.{signature[:-2]}",
        "no signature": f"{head}.{payload}.",
        "a critical extension": jwt.encode(claims(), SECRET, headers={"crit": ["x"], "x": 1}),
        "a thousand brackets": raw(b'{"alg":' + b"[" * 20_000),
        "a body that is a list": jwt.PyJWS().encode(b"[]", SECRET, "HS256"),
        "a body that is not JSON": jwt.PyJWS().encode(b"\xff", SECRET, "HS256"),
    }


async def test_forged_tokens_are_refused(service: Running) -> None:
    for kind, credential in forgeries().items():
        assert (await look(service, credential)).status_code == 401, kind
