"""Browser tokens: how they are minted, which ones are honoured, and which never are."""

import base64
import json
import time
from typing import Any

import httpx
import jwt

from tests.e2e.callers import (
    ASKED,
    EVIL,
    GUARDED,
    PAGE,
    SECRET,
    SHOP,
    bearer,
    claims,
    forged,
    token,
)
from tests.service import Running, running
from tests.waiting import eventually

OLDER_SECRET = "canary-secret-of-at-least-32-bytes-0"
AS_JSON = {"Content-Type": "application/json"}


async def look(service: Running, credential: str, **headers: str) -> httpx.Response:
    """Ask for a search that nobody has: 404 for a token that is honoured."""
    return await service.http.get("/search/srch_x", headers=bearer(credential) | headers)


async def mint(service: Running, **body: Any) -> dict[str, Any]:
    minted = await service.http.post("/tokens", headers=SHOP, json=body)
    assert minted.status_code == 200
    assert minted.headers["cache-control"] == "no-store"
    answer: dict[str, Any] = minted.json()
    return answer


async def test_a_minted_token_has_the_contracts_claims_and_no_others() -> None:
    async with running(**GUARDED) as service:
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


async def test_a_token_is_honoured_on_its_page_and_until_it_ends() -> None:
    async with running(**GUARDED) as service:
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


BODIES: list[tuple[Any, int, str]] = [
    ({"ttl_s": 901}, 422, "ttl_s"),
    ({"ttl_s": 0}, 422, "ttl_s"),
    ({"ttl_s": -1}, 422, "ttl_s"),
    ({"ttl_s": "60"}, 422, "ttl_s"),
    ({"sub": "blog"}, 422, "sub"),
    *(
        ({"origin": origin}, 422, "origin")
        for origin in (
            *("null", "app.example", f"{PAGE}//", f"{PAGE}/x"),
            *("https://u@app.example", "https://a b", "https://" + "a" * 300, f"{PAGE}\n"),
        )
    ),
    ([], 400, ""),
    ("{", 400, ""),
]


async def test_a_token_that_cannot_be_as_asked_is_refused() -> None:
    async with running(**GUARDED) as service:
        for body, status, field in BODIES:
            content = body if isinstance(body, str) else json.dumps(body)
            answer = await service.http.post("/tokens", headers=SHOP | AS_JSON, content=content)
            assert answer.status_code == status, body
            if field:
                assert answer.json()["errors"][0]["field"] == field, body
    async with running(**GUARDED | {"client_token_secret": ""}) as service:
        assert (await service.http.post("/tokens", headers=SHOP)).status_code == 404
        assert (await look(service, token())).status_code == 401


async def test_secrets_are_changed_without_refusing_tokens_in_use() -> None:
    old = jwt.encode(claims(), OLDER_SECRET, algorithm="HS256")
    rows = {SECRET: (401, 404), f"{SECRET},{OLDER_SECRET}": (404, 404), OLDER_SECRET: (404, 401)}
    for secrets, statuses in rows.items():
        async with running(**GUARDED | {"client_token_secret": secrets}) as service:
            answers = [await look(service, one) for one in (old, token())]
            assert tuple(answer.status_code for answer in answers) == statuses
    async with running(**GUARDED | {"client_token_secret": f"{SECRET},{OLDER_SECRET}"}) as service:
        jwt.decode((await mint(service))["token"], SECRET, ["HS256"])


async def test_a_backend_with_the_secret_mints_for_any_client_and_writes_origins_as_it_likes() -> (
    None
):
    async with running(**GUARDED) as service:
        made = await service.http.post(
            "/search", json=ASKED, headers=bearer(token(sub="user 7", iat=9e12))
        )
        path = f"/search/{made.json()['id']}"
        for sub, status in (("user 7", 200), ("shop", 404)):
            found = await service.http.get(path, headers=bearer(token(sub=sub)))
            assert found.status_code == status
        for written in ("HTTPS://APP.example:443", f"{PAGE}/", f"{PAGE}:443/"):
            assert (await look(service, token(origin=written), Origin=PAGE)).status_code == 404


AMISS: list[dict[str, Any]] = [
    *({name: None} for name in ("sub", "exp", "jti")),
    *({"sub": value} for value in (7, "", "x" * 257)),
    *({"jti": value} for value in (7, "", "x" * 257)),
    *({"origin": value} for value in (7, "", [PAGE], False)),
    *({"exp": value} for value in (1, -5, True, "soon", 1e400, float("nan"))),
    *({"nbf": value} for value in (9e12, "soon")),
    {"aud": "another-service"},
]


async def test_claims_that_are_missing_or_wrong_are_refused() -> None:
    async with running(**GUARDED) as service:
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
    twice = SECRET + SECRET
    return {
        "alg none": forged("none"),
        "alg None": raw(b'{"alg":"None"}', body),
        "alg none, signature kept": raw(b'{"alg":"none"}', body) + signature,
        "alg HS384": jwt.encode(claims(), twice, algorithm="HS384"),
        "alg HS512, by the right secret": jwt.encode(claims(), twice, algorithm="HS512"),
        "alg RS256": raw(b'{"alg":"RS256"}', body, b"x"),
        "alg is a list": raw(b'{"alg":["HS256"]}', body, b"x"),
        "alg is missing": raw(b'{"typ":"JWT"}', body, b"x"),
        "another secret": jwt.encode(claims(), "x" * 32, algorithm="HS256"),
        "a changed body": f"{head}.{raw(b'', body).split('.')[1]}x.{signature}",
        "a cut signature": f"{head}.{payload}.{signature[:-2]}",
        "no signature": f"{head}.{payload}.",
        "two parts": f"{head}.{payload}",
        "a critical extension": jwt.encode(
            claims(), SECRET, algorithm="HS256", headers={"crit": ["x"], "x": 1}
        ),
        "a key in the header": jwt.encode(
            claims(), "x" * 32, algorithm="HS256", headers={"jwk": {"k": "eA"}}
        ),
        "a thousand brackets": raw(b'{"alg":' + b"[" * 20_000),
        "a number of many digits": raw(b'{"alg":' + b"9" * 5_000 + b"}"),
        "a body that is a list": jwt.PyJWS().encode(b"[]", SECRET, "HS256"),
        "a body that is not JSON": jwt.PyJWS().encode(b"\xff", SECRET, "HS256"),
        "a body of brackets": jwt.PyJWS().encode(b"[" * 20_000, SECRET, "HS256"),
    }


async def test_forged_tokens_are_refused() -> None:
    async with running(**GUARDED) as service:
        for kind, credential in forgeries().items():
            assert (await look(service, credential)).status_code == 401, kind
