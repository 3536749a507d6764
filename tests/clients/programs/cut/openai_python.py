"""openai-python: a stream that is cut is read on with `retrieve`."""
# mypy: ignore-errors

import json
import os

import httpx
from openai import APIConnectionError, OpenAI

image = {"type": "input_image", "image_url": os.environ["IMAGE_URL"]}
question = {"type": "input_text", "text": os.environ["PROMPT"]}
client = OpenAI(base_url=f"{os.environ['SERVICE']}/v1", api_key="any")
stream = client.responses.create(
    model="qwen3.7-plus",
    input=[{"role": "user", "content": [question, image]}],
    tools=[{"type": "image_search"}],
    stream=True,
    background=True,
)
events, last, response_id = [], None, ""
while last is None or not last.type.endswith(("completed", "incomplete", "failed")):
    try:
        for last in stream:
            events.append([last.type, last.sequence_number, getattr(last, "delta", None)])
            response_id = response_id or last.response.id
    except (httpx.TransportError, APIConnectionError):
        number = last.sequence_number
        stream = client.responses.retrieve(response_id, stream=True, starting_after=number)
print(json.dumps({"id": response_id, "events": events}))
