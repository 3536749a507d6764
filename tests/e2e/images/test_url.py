"""The URL policy: what is passed on, in which form, and what is refused with which reason."""

import pytest

from simulator.pictures import PICTURES
from tests.e2e.images.uploads import Uploads, check_refusal, uploads
from tests.service import shared

TAKEN = {
    "https://example.com/a.png": "https://example.com/a.png",
    "HTTPS://Example.COM/A.png": "https://example.com/A.png",
    "https://example.com": "https://example.com/",
    "http://example.com:80/a": "http://example.com/a",
    "https://example.com/a#top": "https://example.com/a",
    "https://example.com/ä/図.png?q=é": "https://example.com/%C3%A4/%E5%9B%B3.png?q=%C3%A9",
    "https://example.com/%C3%A4?a=b&c=%20+1": "https://example.com/%C3%A4?a=b&c=%20+1",
    'https://example.com/"<x>"': "https://example.com/%22%3Cx%3E%22",
    "https://example.com/a@b:c/[1]?e=f@g": "https://example.com/a@b:c/[1]?e=f@g",
    "https://bücher.example/a": "https://xn--bcher-kva.example/a",
    "https://例え。jp/a": "https://xn--r8jz45g.jp/a",
    "https://my_bucket.s3.example.com/a": "https://my_bucket.s3.example.com/a",
    "https://1.2.3.4.example.com/a": "https://1.2.3.4.example.com/a",
    "https://local.internal.com/": "https://local.internal.com/",
    " https://example.com/ ": "https://example.com/",
    "\ufeffhttps://example.com/a\u3000": "https://example.com/a",
    "https://example.com/a\u200bb": "https://example.com/a%E2%80%8Bb",
}

REFUSED = {
    "https://exa\u00admple.com/": "invisible",
    "iVBORw0KGgoAAAANSUhEUg": 'base64 needs "data:image/jpeg;base64,"',
    "file:///sdcard/a.jpg": "uploaded",
    "https:///a": "not a valid name",
    "https://user:pw@example.com/": "user name",
    "https://example.com:8080/": "port other than 80 and 443; upload the picture instead",
    "https://example.com:\uff14\uff14\uff13/": "port",
    "https://example.com/\x00": "spaces",
    "https://example.com\\@other.com/": "backslash",
    "https://localhost/": "with a dot",
    "https://printer.local/": "private network",
    "https://exa%6dple.com/": "not a valid name",
    f"https://{'a' * 64}.com/": "not a valid name",
    f"https://{'a.' * 130}com/": "not a valid name",
    "https://straße.example/": "punycode",
    f"https://{'ä.' * 130}com/": "punycode",
    f"https://example.com/{'a' * 4096}": "longer than 4096",
    "https://127.0.0.1/": "IP address",
    "https://2130706433/": "IP address",
    "https://0x7f000001/": "IP address",
    "https://[::ffff:127.0.0.1]/": "IP address",
    "https://\uff11\uff12\uff17\uff0e\uff10\uff0e\uff10\uff0e\uff11/": "IP address",
}
service = shared(uploads, upstream_retries=0)


@pytest.mark.parametrize(("written", "sent"), TAKEN.items())
async def test_an_address_is_passed_on_in_its_normal_form(
    written: str, sent: str, service: Uploads
) -> None:
    response = await service.post_url(written)
    assert service.urls == [sent], response.text


@pytest.mark.parametrize(("written", "reason"), REFUSED.items())
async def test_an_address_is_refused_with_the_rule_it_breaks(
    written: str, reason: str, service: Uploads
) -> None:
    response = await service.post_url(written)
    check_refusal(response, "image_url_invalid", reason)
    assert "example" not in response.text
    assert not service.urls


async def test_addresses_that_mean_the_same_are_one_search(service: Uploads) -> None:
    for host, cache in (
        ("https://gallery.example:443", "miss"),
        ("HTTPS://Gallery.EXAMPLE", "hit"),
    ):
        body = {"image_url": f"{host}/{PICTURES[7].name}", "prompt": "[sim normal] The same"}
        answer = await service.service.http.post("/search", json=body)
        assert answer.headers["x-cache"] == cache
