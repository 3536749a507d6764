import json
import tracemalloc
from typing import Any

import pytest

from app.models import ImageInput, SearchSpec
from app.upstream.payload import build_payload


def image(url: bytes = b"https://pictures.example/a.png") -> ImageInput:
    return ImageInput(url, "digest")


def built(*images: ImageInput, store: bool = True, **options: Any) -> Any:
    options = {"prompt": "What is this?", "model": "qwen3.7-plus", **options}
    return json.loads(b"".join(build_payload(SearchSpec(images, **options), store=store)))


def test_a_search_asks_for_nothing_but_the_tool() -> None:
    assert built(image()) == {
        "model": "qwen3.7-plus",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": "https://pictures.example/a.png"},
                ],
            }
        ],
        "tools": [{"type": "image_search"}],
        "stream": True,
        "store": True,
    }


def test_options_are_sent_when_they_were_given() -> None:
    options = {
        "instructions": "Be brief.",
        "previous_response_id": "resp_1",
        "max_output_tokens": 64,
    }
    payload = built(image(), **options, thinking=False, store=False)
    assert options.items() <= payload.items()
    assert payload["reasoning"] == {"effort": "none"}
    assert payload["store"] is False


def test_images_stand_in_the_order_given() -> None:
    content = built(image(b"https://a.example/1"), image(b"data:image/png;base64,AA=="))
    urls = [part.get("image_url") for part in content["input"][0]["content"][1:]]
    assert urls == ["https://a.example/1", "data:image/png;base64,AA=="]


def test_a_follow_up_may_come_without_an_image() -> None:
    content = built(previous_response_id="resp_1")["input"][0]["content"]
    assert content == [{"type": "input_text", "text": "What is this?"}]


@pytest.mark.parametrize(
    "text", ['"quoted" \\ and\nbroken', "两幅山水画", "\ud800 half a pair", "\x00\x1f"]
)
def test_any_text_survives(text: str) -> None:
    payload = built(image(), prompt=text, instructions=text, model=text)
    assert payload["input"][0]["content"][0]["text"] == text
    assert payload["instructions"] == payload["model"] == text


@pytest.mark.parametrize(
    "url",
    [
        b'https://a.example/"x"\\y',
        b'data:image/png;name="a",AA==',
        b"data:image/png;name=\\,AA==",
        b"https://a.example/\x01",
    ],
)
def test_no_address_breaks_out_of_its_quotes(url: bytes) -> None:
    assert built(image(url))["input"][0]["content"][1]["image_url"] == url.decode()


def test_an_image_of_megabytes_is_not_copied() -> None:
    big = image(b"data:image/png;base64," + b"A" * 10_000_000)
    spec = SearchSpec((big,), prompt="p", model="m")
    tracemalloc.start()
    payload = build_payload(spec, store=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert big.url in payload
    assert peak < 100_000
