import pytest

from app.models import Match
from app.upstream.mentions import mentions_unlisted_url

LISTED = [
    Match(1, "t", "https://pictures.example/ink.jpg", 0),
    Match(2, "t", "https://pictures.example/hills.png?w=1", 0),
    Match(3, "t", "https://pictures.example/a_(b)", 0),
    Match(4, "t", "https://pictures.example/q?a=1&b=2", 0),
    Match(5, "t", "https://pictures.example/图.jpg", 0),
]


@pytest.mark.parametrize(
    "text",
    [
        "no address at all",
        "See https://pictures.example/ink.jpg.",
        "[ink](https://pictures.example/ink.jpg), ![x](https://pictures.example/ink.jpg)",
        "见https://pictures.example/ink.jpg\uff0c很美。",
        "\uff08https://pictures.example/ink.jpg\uff09《https://pictures.example/ink.jpg》",
        "见https://pictures.example/ink.jpg这张图",
        "**https://pictures.example/ink.jpg**",
        "https://pictures.example/hills.png?w=1!",
        '<a href="https://pictures.example/hills.png?w=1">',
        "(https://pictures.example/a_(b))",
        "https://pictures.example/a_%28b%29/",
        "https://pictures.example/q?a=1&amp;b=2",
        "https://pictures.example/图.jpg and https://pictures.example/%E5%9B%BE.jpg",
    ],
)
def test_listed_addresses_in_any_dress_are_known(text: str) -> None:
    assert not mentions_unlisted_url(text, LISTED)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/image1.jpg",
        "http://pictures.example/ink.jpg",
        "见https://example.com/图。",
        "https://pictures.example/ink.jpg and https://pictures.example/ink.jpg.html",
        "HTTPS://EXAMPLE.COM",
        "https://pictures.example/in…",
    ],
)
def test_an_address_nobody_found_is_noticed(text: str) -> None:
    assert mentions_unlisted_url(text, LISTED)
    assert mentions_unlisted_url(text, [])


@pytest.mark.timeout(20)
def test_a_very_long_address_is_read_at_a_stretch() -> None:
    dots = "https://pages.example/" + "." * 1_000_000
    assert mentions_unlisted_url(dots, ())
    assert mentions_unlisted_url(dots.replace(".", ")"), ())
