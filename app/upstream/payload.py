"""A search as a request to the Responses API. Images, megabytes of ASCII, are never encoded."""

import json
from collections.abc import Sequence

from app.models import ImageInput, ResponsesRequest, digest_of


def search_request(
    images: Sequence[ImageInput],
    prompt: str,
    *,
    model: str,
    instructions: str | None,
    previous_response_id: str | None,
    max_output_tokens: int | None,
    thinking: bool,
    store: bool,
) -> ResponsesRequest:
    """The request, whose payload has the images as parts of their own: they are not copied."""
    content = json.dumps({"type": "input_text", "text": prompt})
    options = {
        "model": model,
        "tools": [{"type": "image_search"}],
        "stream": True,
        "store": store,  # Whether the upstream may keep the answer.
        "instructions": instructions,
        "previous_response_id": previous_response_id,
        "max_output_tokens": max_output_tokens,
        "reasoning": None if thinking else {"effort": "none"},
    }
    known = json.dumps({name: value for name, value in options.items() if value is not None})
    text = f'{{"input": [{{"role": "user", "content": [{content}'.encode()
    parts: list[bytes] = []
    for image in images:
        parts += text + b', {"type": "input_image", "image_url": "', image.url
        text = b'"}'
    return ResponsesRequest(
        payload=[*parts, text + b"]}], " + known.removeprefix("{").encode()],
        model=model,
        image_count=len(images),
        input_chars=len(prompt) + len(instructions or ""),
        max_output_tokens=max_output_tokens,
        previous_response_id=previous_response_id,
        digest=digest_of([image.digest for image in images], prompt, options),
        prompt=prompt,
    )
