import base64
import json
from typing import Any

import jwt
import pytest

from app.errors import InvalidRequest, OriginNotAllowed, RouteNotFound
from app.guards.tokens import NotHonoured, Token, Tokens, parse_token_secrets
from tests.guards.setups import OLDER_SECRET, SECRET, Clock

PAGE = "https://app.example"


@pytest.fixture
def tokens(wall: Clock) -> Tokens:
    return Tokens((SECRET, OLDER_SECRET), ttl_s=900, wall=wall)


def claims(wall: Clock, **changed: Any) -> dict[str, Any]:
    """A good token's claims with some changed, or left out where `None`."""
    merged = {"sub": "shop", "exp": int(wall()) + 60, "jti": "j-1", **changed}
    return {name: value for name, value in merged.items() if value is not None}


def signed(
    payload: dict[str, Any], *, secret: str = SECRET, header: dict[str, Any] | None = None
) -> str:
    return jwt.encode(payload, secret, algorithm="HS256", headers=header)


def raw(header: bytes, payload: bytes = b"{}", signature: bytes = b"") -> str:
    parts = (header, payload, signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def why_not(tokens: Tokens, token: str) -> str:
    """What an operator is told of a token that is not honoured."""
    with pytest.raises(NotHonoured) as refused:
        tokens.holder(token, origin=None)
    return str(refused.value)


def test_a_minted_token_acts_for_its_client_until_it_ends(tokens: Tokens, wall: Clock) -> None:
    minted = tokens.mint("shop", origin=None, ttl_s=60)
    assert minted.expires_at == wall() + 60
    holder = tokens.holder(minted.token, origin="https://anywhere.example")
    assert (holder.name, holder.kind, holder.origin) == ("shop", "token", None)
    assert holder.meter.startswith("token:")
    wall.now += 59.9
    assert tokens.valid(minted.token)
    wall.now += 0.1
    assert not tokens.valid(minted.token)
    assert why_not(tokens, minted.token) == "it ended 0 s ago"


def test_tokens_hold_the_contracts_claims_and_no_others(tokens: Tokens, wall: Clock) -> None:
    minted = tokens.mint("shop", origin="HTTPS://App.Example:443/", ttl_s=None)
    body = jwt.decode(minted.token, SECRET, ["HS256"], options={"verify_exp": False})
    assert body.pop("jti")
    assert body == {"sub": "shop", "exp": wall() + 900, "origin": PAGE}


def test_every_token_has_a_meter_of_its_own(tokens: Tokens) -> None:
    meters = set()
    for _ in range(100):
        holder = tokens.holder(tokens.mint("shop", origin=None, ttl_s=None).token, origin=None)
        meters.add(holder.meter)
    assert len(meters) == 100


@pytest.mark.parametrize("ttl_s", [-1, 0, 901])
def test_a_time_out_of_bounds_is_refused(tokens: Tokens, ttl_s: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tokens.mint("shop", origin=None, ttl_s=ttl_s)
    assert [error.field for error in refused.value.fields] == ["ttl_s"]


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "app.example",
        f"{PAGE}//",
        f"{PAGE}/x",
        "ftp://app.example",
        "https://u@app.example",
        "https://a b",
        "https://" + "a" * 300,
        f"{PAGE}\n",
    ],
)
def test_an_origin_that_no_browser_would_send_is_refused(tokens: Tokens, origin: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tokens.mint("shop", origin=origin, ttl_s=None)
    assert [error.field for error in refused.value.fields] == ["origin"]


def test_without_a_secret_there_are_no_tokens(wall: Clock) -> None:
    without = Tokens((), ttl_s=900, wall=wall)
    with pytest.raises(RouteNotFound):
        without.mint("shop", origin=None, ttl_s=None)
    assert not without.valid(signed(claims(wall)))


@pytest.mark.parametrize("origin", [PAGE, "https://APP.example", "https://app.example:443", None])
def test_a_bound_token_passes_from_its_own_pages(tokens: Tokens, origin: str | None) -> None:
    minted = tokens.mint("shop", origin=PAGE, ttl_s=None)
    holder = tokens.holder(minted.token, origin=origin)
    assert holder.origin == PAGE


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example", "null", ""])
def test_a_bound_token_is_refused_from_other_pages(
    tokens: Tokens, origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "app.guards")
    minted = tokens.mint("shop", origin=PAGE, ttl_s=None)
    with pytest.raises(OriginNotAllowed):
        tokens.holder(minted.token, origin=origin)
    assert tokens.valid(minted.token)
    assert vars(caplog.records[0])["fields"] == {"why": f"it is bound to {PAGE}, not to {origin}"}


@pytest.mark.parametrize("written", ["HTTPS://APP.example:443", f"{PAGE}/", f"{PAGE}:443/"])
def test_a_backend_may_write_the_origin_as_it_likes(
    tokens: Tokens, wall: Clock, written: str
) -> None:
    bound = signed(claims(wall, origin=written))
    holder = tokens.holder(bound, origin=PAGE)
    assert holder.origin == PAGE


def test_secrets_are_changed_without_refusing_tokens_in_use(wall: Clock) -> None:
    before = Tokens((OLDER_SECRET,), ttl_s=900, wall=wall)
    during = Tokens((SECRET, OLDER_SECRET), ttl_s=900, wall=wall)
    after = Tokens((SECRET,), ttl_s=900, wall=wall)
    old = before.mint("shop", origin=None, ttl_s=None).token
    new = during.mint("shop", origin=None, ttl_s=None).token
    honoured = [(guard.valid(old), guard.valid(new)) for guard in (before, during, after)]
    assert honoured == [(True, False), (True, True), (False, True)]


def test_a_backend_with_the_secret_mints_for_any_client(tokens: Tokens, wall: Clock) -> None:
    holder = tokens.holder(
        signed(claims(wall, sub="user 7", iat=9e12, nbf=wall() + 4)), origin=None
    )
    assert (holder.name, holder.meter) == ("user 7", "token:j-1")


@pytest.mark.parametrize(
    "changed",
    [{name: None} for name in ("sub", "exp", "jti")]
    + [{"sub": value} for value in (7, "", "x" * 257)]
    + [{"jti": value} for value in (7, "", "x" * 257)]
    + [{"origin": value} for value in (7, "", [PAGE], False)]
    + [{"exp": value} for value in (1, -5, True, "9999999999", 1e400, float("nan"), 10**400)]
    + [{"nbf": value} for value in (9e12, "soon", -1)]
    + [{"aud": "another-service"}],
)
def test_claims_that_are_missing_or_amiss_are_refused(
    tokens: Tokens, wall: Clock, changed: dict[str, Any]
) -> None:
    assert why_not(tokens, signed(claims(wall, **changed)))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"exp": None}, "it has no exp"),
        ({"sub": None}, "it has no sub"),
        ({"exp": 939.6}, "it ended 60 s ago"),
        ({"exp": "soon"}, "its exp or nbf is no time"),
        ({"nbf": 1_090}, "it begins in 90 s: is a clock wrong?"),
        ({"jti": "canary" * 99}, "its jti must be a text of 1 to 256 letters"),
        ({"origin": ["canary"]}, "its origin must be a text of 1 to 256 letters"),
        ({"aud": "canary"}, "no client key, and no token: InvalidAudienceError"),
    ],
)
def test_an_operator_is_told_why_a_token_is_refused(
    tokens: Tokens, wall: Clock, changed: dict[str, Any], why: str
) -> None:
    wall.now = 1_000
    assert why_not(tokens, signed(claims(wall, **changed))) == why


def test_an_operator_is_told_of_a_secret_that_is_not_here(tokens: Tokens, wall: Clock) -> None:
    strange = signed(claims(wall), secret="x" * 32)
    wanted = "no client key, and no CLIENT_TOKEN_SECRET here has signed it"
    assert why_not(tokens, strange) == wanted


def forgeries(wall: Clock) -> dict[str, str]:
    good = json.dumps(claims(wall)).encode()
    head, body, signature = signed(claims(wall)).split(".")
    return {
        "alg none": raw(b'{"alg":"none","typ":"JWT"}', good),
        "alg None": raw(b'{"alg":"None"}', good),
        "alg none, signature kept": raw(b'{"alg":"none"}', good, b"x") + signature,
        "alg HS384": jwt.encode(claims(wall), SECRET + SECRET, algorithm="HS384"),
        "alg HS512 of the right secret": jwt.encode(
            claims(wall), SECRET + SECRET, algorithm="HS512"
        ),
        "alg RS256": raw(b'{"alg":"RS256"}', good, b"x"),
        "alg is a list": raw(b'{"alg":["HS256"]}', good, b"x"),
        "alg is missing": raw(b'{"typ":"JWT"}', good, b"x"),
        "another secret": signed(claims(wall), secret="x" * 32),
        "empty secret": raw(b'{"alg":"HS256"}', good, b""),
        "changed body": f"{head}.{raw(b'', good).split('.')[1]}x.{signature}",
        "cut signature": f"{head}.{body}.{signature[:-2]}",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "critical extension": signed(claims(wall), header={"crit": ["x"], "x": 1}),
        "key in the header": signed(claims(wall), secret="x" * 32, header={"jwk": {"k": "eA"}}),
        "no token": "canary",
        "empty": "",
        "not ASCII": "é.é.é",
        "a lone surrogate": "\udc80.x.y",
        "a thousand brackets": raw(b'{"alg":' + b"[" * 40_000),
        "a number of many digits": raw(b'{"alg":' + b"9" * 5_000 + b"}"),
        "a body that is a list": jwt.PyJWS().encode(b"[]", SECRET, "HS256"),
        "a body that is no JSON": jwt.PyJWS().encode(b"\xff", SECRET, "HS256"),
        "a body of a thousand brackets": jwt.PyJWS().encode(b"[" * 40_000, SECRET, "HS256"),
    }


@pytest.mark.parametrize("kind", forgeries(Clock(0)))
def test_forged_tokens_are_refused(tokens: Tokens, wall: Clock, kind: str) -> None:
    forged = forgeries(wall)[kind]
    assert why_not(tokens, forged).startswith("no client key, and no ")
    assert not tokens.valid(forged)


def test_secrets_are_read_first_one_first() -> None:
    assert parse_token_secrets(f" {SECRET}, {OLDER_SECRET},") == (SECRET, OLDER_SECRET)
    assert parse_token_secrets("") == ()


def test_a_short_secret_is_refused_in_a_sentence_without_it() -> None:
    with pytest.raises(ValueError, match=r"^CLIENT_TOKEN_SECRET: each .* 32 bytes") as refused:
        parse_token_secrets(f"{SECRET},canary")
    assert "canary" not in str(refused.value)


def test_a_tokens_text_is_not_in_its_repr() -> None:
    assert "canary" not in repr(Token("canary", 7))
