"""The body of `POST /responses`. Images, megabytes of ASCII, are joined in, never encoded."""

import json

from app.models import SearchSpec


def build_payload(spec: SearchSpec, *, store: bool) -> list[bytes]:
    """The request as JSON text, in parts that join to it: the images are not copied."""
    content = json.dumps({"type": "input_text", "text": spec.prompt})
    options = {
        "model": spec.model,
        "tools": [{"type": "image_search"}],
        "stream": True,
        "store": store,  # Whether the upstream may keep the answer.
        "instructions": spec.instructions,
        "previous_response_id": spec.previous_response_id,
        "max_output_tokens": spec.max_output_tokens,
        "reasoning": None if spec.thinking else {"effort": "none"},
    }
    known = json.dumps({name: value for name, value in options.items() if value is not None})
    text = f'{{"input": [{{"role": "user", "content": [{content}'.encode()
    parts: list[bytes] = []
    for image in spec.images:
        parts += text + b', {"type": "input_image", "image_url": "', image.url
        text = b'"}'
    return [*parts, text + b"]}], " + known.removeprefix("{").encode()]
