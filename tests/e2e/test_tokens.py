"""Browser tokens: how they are minted, which ones are honoured, and which never are."""

import base64
import json
import time
from typing import Any

import httpx
import jwt

from tests.e2e.callers import ASKED, EVIL, GUARDED, PAGE, SECRET, SHOP, bearer, claims, token
from tests.service import Running, running
from tests.waiting import eventually

OLDER_SECRET = "canary-secret-of-at-least-32-bytes-0"


async def look(service: Running, credential: str, **headers: str) -> httpx.Response:
    return await service.http.get("/search/srch_x", headers=bearer(credential) | headers)


async def mint(service: Running, **body: Any) -> dict[str, Any]:
    minted = await service.http.post("/tokens", headers=SHOP, json=body)
    assert (minted.status_code, minted.headers["cache-control"]) == (200, "no-store")
    answer: dict[str, Any] = minted.json()
    return answer


async def test_a_minted_token_has_the_contracts_claims_and_no_others(guarded: Running) -> None:
    minted = await mint(guarded, origin="HTTPS://App.Example:443/", ttl_s=60)
    body = jwt.decode(minted["token"], SECRET, ["HS256"])
    assert body["exp"] == minted["expires_at"]
    assert abs(body["exp"] - time.time() - 60) <= 5
    assert (body["sub"], body["origin"]) == ("shop", PAGE)
    assert body.keys() == {"sub", "exp", "jti", "origin"}
    plain = jwt.decode((await mint(guarded))["token"], SECRET, ["HS256"])
    assert plain.keys() == {"sub", "exp", "jti"}
    assert abs(plain["exp"] - time.time() - 900) <= 5
    assert plain["jti"] != body["jti"]


async def test_a_token_is_honoured_on_its_page_and_until_it_ends(guarded: Running) -> None:
    bound = (await mint(guarded, origin=PAGE))["token"]
    for origin in (PAGE, "https://APP.example:443"):
        assert (await look(guarded, bound, Origin=origin)).status_code == 404
    for origin in (EVIL, "http://app.example", "null", ""):
        refused = await look(guarded, bound, Origin=origin)
        assert refused.json()["code"] == "origin_not_allowed", origin
    short = (await mint(guarded, ttl_s=1))["token"]

    async def ended() -> bool:
        answer = await look(guarded, short)
        assert answer.status_code == 404 or answer.json()["code"] == "token_expired"
        return answer.status_code == 401

    await eventually(ended)


ORIGINS = ("null", "app.example", f"{PAGE}/x", "https://u@app.example")
BODIES: list[dict[str, Any]] = [
    *({"ttl_s": ttl_s} for ttl_s in (901, 0, "60")),
    *({"origin": origin} for origin in ORIGINS),
    {"sub": "blog"},
]


async def test_a_token_that_cannot_be_as_asked_is_refused(guarded: Running) -> None:
    for body in BODIES:
        answer = await guarded.http.post("/tokens", headers=SHOP, json=body)
        assert answer.status_code == 422, body
        assert [one["field"] for one in answer.json()["errors"]] == list(body)
    async with running(**GUARDED | {"client_token_secret": ""}) as keyed:
        assert (await keyed.http.post("/tokens", headers=SHOP)).status_code == 404
        assert (await look(keyed, token())).status_code == 401


async def test_secrets_are_changed_without_refusing_tokens_in_use() -> None:
    old = jwt.encode(claims(), OLDER_SECRET, algorithm="HS256")
    both = f"{SECRET},{OLDER_SECRET}"
    for secrets, statuses in {
        SECRET: [401, 404],
        both: [404, 404],
        OLDER_SECRET: [404, 401],
    }.items():
        async with running(**GUARDED | {"client_token_secret": secrets}) as service:
            assert [(await look(service, one)).status_code for one in (old, token())] == statuses
            if secrets == both:
                jwt.decode((await mint(service))["token"], SECRET, ["HS256"])


async def test_a_backend_with_the_secret_mints_for_any_client(guarded: Running) -> None:
    made = await guarded.http.post("/search", json=ASKED, headers=bearer(token(sub="user 7")))
    path = f"/search/{made.json()['id']}"
    for sub, status in (("user 7", 200), ("shop", 404)):
        found = await guarded.http.get(path, headers=bearer(token(sub=sub)))
        assert found.status_code == status
    for written in ("HTTPS://APP.example:443", f"{PAGE}/", f"{PAGE}:443/"):
        assert (await look(guarded, token(origin=written), Origin=PAGE)).status_code == 404


AMISS: list[dict[str, Any]] = [
    *({name: None} for name in ("sub", "exp", "jti")),
    *({name: value} for name in ("sub", "jti") for value in (7, "", "x" * 257)),
    *({"origin": value} for value in (7, "", [PAGE])),
    *({"exp": value} for value in (1, True, "soon", float("nan"))),
    *({"nbf": value} for value in (9e12, "soon")),
    {"aud": "another-service"},
]


def raw(header: bytes, payload: bytes = b"{}", signature: bytes = b"") -> str:
    parts = (header, payload, signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


BODY = json.dumps(claims()).encode()
HEAD, PAYLOAD, SIGNATURE = token().split(".")
FORGED = {
    "alg none": raw(b'{"alg":"none"}', BODY),
    "alg HS512": jwt.encode(claims(), SECRET + SECRET, algorithm="HS512"),
    "alg RS256": raw(b'{"alg":"RS256"}', BODY, b"x"),
    "alg is a list": raw(b'{"alg":["HS256"]}', BODY, b"x"),
    "another secret": jwt.encode(claims(), "x" * 32, algorithm="HS256"),
    "a changed body": f"{HEAD}.{PAYLOAD}x.{SIGNATURE}",
    "a cut signature": f"{HEAD}.{PAYLOAD}.{SIGNATURE[:-2]}",
    "no signature": f"{HEAD}.{PAYLOAD}.",
    "a critical extension": jwt.encode(claims(), SECRET, headers={"crit": ["x"], "x": 1}),
    "a thousand brackets": raw(b'{"alg":' + b"[" * 20_000),
    "a body that is a list": jwt.PyJWS().encode(b"[]", SECRET, "HS256"),
    "a body that is not JSON": jwt.PyJWS().encode(b"\xff", SECRET, "HS256"),
}


async def test_tokens_that_are_forged_or_lack_claims_are_refused(guarded: Running) -> None:
    for changed in AMISS:
        kept = {name: value for name, value in claims(**changed).items() if value is not None}
        credential = jwt.encode(kept, SECRET, algorithm="HS256")
        assert (await look(guarded, credential)).status_code == 401, changed
    for kind, credential in FORGED.items():
        assert (await look(guarded, credential)).status_code == 401, kind
