"""Who asks, by what is shown."""

from typing import Any

import pytest

from app.errors import Forbidden, OriginNotAllowed, ServiceError, Unauthorized
from app.guards import Guards, Identity
from app.guards.guards import KEY_IN_URL
from tests.guards.setups import BLOG_KEY, KEYS, SECRET, SHOP, SHOP_KEY, Clock, make_guards

PAGE = "https://app.example"
ADDRESS = "203.0.113.9"
ANYBODY = f"anonymous address:{ADDRESS}"
SETUPS: dict[str, dict[str, Any]] = {
    "keys": {"client_keys": KEYS, "client_token_secret": SECRET},
    "keys or nothing": {
        "client_keys": KEYS,
        "client_token_secret": SECRET,
        "allow_anonymous": True,
    },
    "tokens": {"client_token_secret": SECRET},
    "tokens or nothing": {"client_token_secret": SECRET, "allow_anonymous": True},
    "anybody": {"allow_anonymous": True},
}
SHOWN: dict[str, dict[str, str]] = {
    "nothing": {},
    "a key": {"bearer": SHOP_KEY},
    "a wrong key": {"bearer": "sk-wrong"},
    "another scheme": {"bearer": ""},
    "a token": {"bearer": "GOOD"},
    "an ended token": {"bearer": "ENDED"},
    "another page's token": {"bearer": "BOUND"},
    "a key in the URL": {"token": SHOP_KEY},
    "a token in the URL": {"token": "GOOD"},
    "an ended token in the URL": {"token": "ENDED"},
    "another page's token in the URL": {"token": "BOUND"},
    "a wrong key, and a token in the URL": {"bearer": "sk-wrong", "token": "GOOD"},
}
KEY, TOKEN, ANY = "shop key:shop", "shop token:j", ANYBODY
NO, ELSEWHERE = "Unauthorized", "OriginNotAllowed"
TABLE: dict[str, tuple[str, str, str, str, str]] = {
    # columns as SETUPS
    "nothing": (NO, ANY, NO, ANY, ANY),
    "a key": (KEY, KEY, NO, ANY, ANY),
    "a wrong key": (NO, NO, NO, ANY, ANY),
    "another scheme": (NO, NO, NO, ANY, ANY),
    "a token": (TOKEN, TOKEN, TOKEN, TOKEN, ANY),
    "an ended token": (NO, NO, NO, ANY, ANY),
    "another page's token": (ELSEWHERE, ELSEWHERE, ELSEWHERE, ELSEWHERE, ANY),
    "a key in the URL": (NO, NO, NO, NO, NO),
    "a token in the URL": (TOKEN, TOKEN, TOKEN, TOKEN, NO),
    "an ended token in the URL": (NO, NO, NO, NO, NO),
    "another page's token in the URL": (ELSEWHERE, ELSEWHERE, ELSEWHERE, ELSEWHERE, NO),
    "a wrong key, and a token in the URL": (NO, NO, NO, TOKEN, NO),
}


def minted(kind: str, wall: Clock) -> str:
    """A token made by a service with the same secret, at the right time for its kind."""
    mint = make_guards(client_token_secret=SECRET, wall=Clock(wall() - 3_600 * (kind == "ENDED")))
    return mint.mint(SHOP, origin=PAGE if kind == "BOUND" else None, ttl_s=None).token


def identify(guards: Guards, shown: str, wall: Clock) -> Identity:
    """Show one of `SHOWN`, from a page of another origin than its tokens are bound to."""
    credentials = {
        name: minted(value, wall) if value.isupper() else value
        for name, value in SHOWN[shown].items()
    }
    return guards.identify(
        bearer=credentials.get("bearer"),
        token=credentials.get("token"),
        address=ADDRESS,
        origin="https://evil.example",
    )


def told(identity: Identity) -> str:
    way, _, _ = identity.meter.partition(":")
    return f"{identity.name} {'token:j' if way == 'token' else identity.meter}"


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("shown", SHOWN)
def test_who_asks_follows_from_what_is_shown(shown: str, setup: str, wall: Clock) -> None:
    guards = make_guards(wall=wall, **SETUPS[setup])
    try:
        found = told(identify(guards, shown, wall))
    except ServiceError as exc:
        found = type(exc).__name__
    assert found == TABLE[shown][list(SETUPS).index(setup)]


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("shown", SHOWN)
def test_a_refused_token_is_logged_with_the_reason_and_without_the_token(
    shown: str, setup: str, wall: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "app")
    guards = make_guards(wall=wall, **SETUPS[setup])
    refused = ""
    try:
        identify(guards, shown, wall)
    except ServiceError as exc:
        refused = exc.detail
    told = [vars(one)["fields"] for one in caplog.records]
    unheard = shown == "nothing" or refused == KEY_IN_URL
    assert len(told) == (bool(refused) and not unheard)
    for fields in told:
        assert fields.keys() == {"why"}
        assert fields["why"]
        for secret in (SHOP_KEY, "sk-wrong", "eyJ"):
            assert secret not in fields["why"]


def test_a_key_in_the_url_is_told_that_only_tokens_go_there(wall: Clock) -> None:
    guards = make_guards(wall=wall, **SETUPS["keys"])
    with pytest.raises(Unauthorized, match="A client key must not stand in a URL"):
        identify(guards, "a key in the URL", wall)
    with pytest.raises(Unauthorized, match="The token in the URL is not valid"):
        identify(guards, "an ended token in the URL", wall)


@pytest.mark.parametrize(
    ("address", "meter"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("x" * 500, "x" * 64),
    ],
)
def test_anonymous_callers_are_metered_by_address_and_ipv6_by_its_64(
    address: str, meter: str
) -> None:
    guards = make_guards(allow_anonymous=True)
    found = guards.identify(bearer=None, token=None, address=address, origin=None)
    assert (found.name, found.meter, found.kind) == ("anonymous", f"address:{meter}", "anonymous")


def test_only_a_client_key_makes_tokens(wall: Clock) -> None:
    guards = make_guards(wall=wall, **SETUPS["keys or nothing"])
    assert guards.mints
    assert guards.identify_key_holder(BLOG_KEY) == Identity("blog", "key:blog", "key")
    for kind in ("GOOD", "BOUND"):
        with pytest.raises(Forbidden):
            guards.identify_key_holder(minted(kind, wall))
    for bearer in (None, "", "sk-wrong", minted("ENDED", wall)):
        with pytest.raises(Unauthorized):
            guards.identify_key_holder(bearer)
    assert not make_guards(client_keys=KEYS).mints


def test_a_minted_token_acts_for_the_keys_client_from_its_page(wall: Clock) -> None:
    guards = make_guards(wall=wall, **SETUPS["keys"])
    token = guards.mint(guards.identify_key_holder(SHOP_KEY), origin=PAGE, ttl_s=60).token
    found = guards.identify(bearer=None, token=token, address=ADDRESS, origin=PAGE)
    assert (found.name, found.kind, found.origin) == ("shop", "token", PAGE)
    with pytest.raises(OriginNotAllowed):
        guards.identify(bearer=token, token=None, address=ADDRESS, origin="https://evil.example")
