"""The body of `POST /responses`. Images, megabytes of ASCII, are joined in, never encoded."""

import json
from typing import Any

from app.models import ImageInput, SearchSpec

IMAGE_START, IMAGE_END = b', {"type": "input_image", "image_url": ', b"}"


def build_payload(spec: SearchSpec, *, store: bool) -> list[bytes]:
    """The request as JSON text, in parts that join to it: the images are not copied.

    `store` lets the upstream keep the answer. Only documented members are sent, and `reasoning`
    only to switch thinking off.
    """
    start = (
        f'{{"model": {json.dumps(spec.model)}, "input": [{{"role": "user", "content": '
        f'[{{"type": "input_text", "text": {json.dumps(spec.prompt)}}}'
    )
    end = json.dumps(_options(spec, store=store)).removeprefix("{")
    parts = [start.encode()]
    for image in spec.images:
        parts += IMAGE_START, *_quoted(image), IMAGE_END
    return [*parts, b"]}], ", end.encode()]


def _options(spec: SearchSpec, *, store: bool) -> dict[str, Any]:
    options: dict[str, Any] = {
        "tools": [{"type": "image_search"}],
        "stream": True,
        "store": store,
        "instructions": spec.instructions,
        "previous_response_id": spec.previous_response_id,
        "max_output_tokens": spec.max_output_tokens,
        "reasoning": None if spec.thinking else {"effort": "none"},
    }
    return {name: value for name, value in options.items() if value is not None}


def _quoted(image: ImageInput) -> tuple[bytes, ...]:
    """The image's URL as a JSON string, in parts; a data URL is taken as it is."""
    url = image.url
    if url.startswith(b"data:") and b'"' not in url and b"\\" not in url:
        return b'"', url, b'"'
    return (json.dumps(url.decode("ascii")).encode(),)
