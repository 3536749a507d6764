import pytest

from app.guards.origins import normal_origin, parse_origins

PAGE = "https://app.example"


@pytest.mark.parametrize(
    ("origin", "normal"),
    [
        ("https://App.Example", "https://app.example"),
        ("https://a:443", "https://a"),
        ("http://a:80", "http://a"),
        ("http://a:443", "http://a:443"),
        ("https://a:8443", "https://a:8443"),
        ("null", "null"),
    ],
)
def test_origins_are_compared_as_browsers_write_them(origin: str, normal: str) -> None:
    assert normal_origin(origin) == normal


@pytest.mark.parametrize(
    ("words", "origin", "allowed"),
    [
        ([], PAGE, False),
        ([PAGE], PAGE, True),
        ([PAGE], "https://APP.example:443", True),
        (["https://other.example", f"{PAGE}/"], PAGE, True),
        ([PAGE], "http://app.example", False),
        ([PAGE], f"{PAGE}:8443", False),
        ([PAGE], f"{PAGE}.evil.example", False),
        ([PAGE], "null", False),
        ([PAGE], "", False),
        (["*"], "https://anybody.example", True),
        (["*"], "null", True),
        (["http://[::1]:5173"], "http://[::1]:5173", True),
        (["chrome-extension://abcdef"], "chrome-extension://abcdef", True),
    ],
)
def test_only_the_given_origins_are_allowed(words: list[str], origin: str, allowed: bool) -> None:  # noqa: FBT001 - a table's column
    assert parse_origins(words).allow(origin) is allowed


@pytest.mark.parametrize(
    "word", ["app.example", f"{PAGE}/x", f"{PAGE}//", "null", "https://*.example", "https://", "**"]
)
def test_what_is_no_origin_is_refused_in_one_sentence(word: str) -> None:
    with pytest.raises(ValueError, match=r"^CORS_ORIGINS: must be such as https://app\.example"):
        parse_origins([PAGE, word])
