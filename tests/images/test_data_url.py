"""`data:` URLs as browsers and libraries write them."""

import base64

import pytest

from app.errors import ImageMissing, ImageTooLarge, ImageUnreadable, ImageUrlInvalid, ServiceError
from app.images import decode_data_url
from app.images.data_url import STEP_CHARS

BODY = bytes(range(256)) * 5
TEXT = base64.b64encode(BODY).decode()


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{TEXT}",
        f"DATA:image/PNG;BASE64,{TEXT}",
        f"data:image/svg+xml;charset=utf-8;base64,{TEXT}",
        f"data:image/vnd.microsoft.icon;base64,{TEXT}",
        f"data:image/png;base64,{TEXT.rstrip('=')}",
        "data:image/png;base64," + TEXT.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
        f"data:image/png;base64,{TEXT[:76]}\r\n{TEXT[76:]}\n",
        f"data:image/png;base64,{TEXT[:76]}%0A{TEXT[76:]}",
    ],
)
def test_the_bytes_come_out(url: str) -> None:
    assert decode_data_url(url) == BODY


def test_a_long_one_comes_out_whole() -> None:
    body = BODY * 1000 + b"x"
    assert decode_data_url(f"data:image/png;base64,{base64.b64encode(body).decode()}") == body


@pytest.mark.parametrize("at", [STEP_CHARS, 2 * STEP_CHARS])
def test_padding_in_mid_text_is_refused_wherever_it_stands(at: int) -> None:
    text = "A" * (at - 2) + "==" + "A" * STEP_CHARS
    with pytest.raises(ImageUnreadable):
        decode_data_url(f"data:image/png;base64,{text}")


@pytest.mark.parametrize(
    ("url", "why", "saying"),
    [
        ("data:,hello", ImageUrlInvalid, "must begin with data:image/"),
        ("data:text/html;base64,aGk=", ImageUrlInvalid, "must begin with data:image/"),
        ("data:image/svg+xml,<svg/>", ImageUrlInvalid, "must begin with data:image/"),
        (f"data:image/png;{'a=b;' * 99}base64,aGk=", ImageUrlInvalid, "must begin"),
        ("https://example.com", ImageUrlInvalid, "must begin with data:image/"),
        ("data:image/png;base64,", ImageMissing, "empty"),
        ("data:image/png;base64, \n", ImageMissing, "empty"),
        ("data:image/png;base64,====", ImageUnreadable, "base64"),
        ("data:image/png;base64,a-_b", ImageUnreadable, "base64"),
        ("data:image/png;base64,ab=c", ImageUnreadable, "base64"),
        ("data:image/png;base64,abcde", ImageUnreadable, "base64"),
        ("data:image/png;base64,äöüß", ImageUnreadable, "base64"),
        ("data:image/png;base64,%ff%ff", ImageUnreadable, "base64"),
        (f"data:image/png;base64,{'!' * (1 << 20)}", ImageUnreadable, "base64"),
    ],
)
def test_what_is_none_is_refused(url: str, why: type[ServiceError], saying: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        decode_data_url(url)
    assert type(refusal.value) is why
    assert saying in refusal.value.detail


def test_the_size_is_told_before_decoding() -> None:
    not_even_base64 = "data:image/png;base64," + "!" * 4000
    with pytest.raises(ImageTooLarge, match="3000 bytes; at most 2999"):
        decode_data_url(not_even_base64, max_bytes=2999)


def test_zero_takes_any_size() -> None:
    assert decode_data_url(f"data:image/png;base64,{TEXT}", max_bytes=0) == BODY


def test_the_largest_size_fits_with_its_padding() -> None:
    for size in (1000, 1001, 1002):
        url = f"data:image/png;base64,{base64.b64encode(bytes(size)).decode()}"
        assert len(decode_data_url(url, max_bytes=size)) == size
