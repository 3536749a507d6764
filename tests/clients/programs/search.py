"""Search by image with openai-python: waiting for the answer or, with `stream`, as it is made."""
# mypy: ignore-errors

import json
import os
import sys
from typing import Any

from openai import OpenAI


def show(item: Any) -> None:
    if item.type == "image_search_call":
        print("tool call:", item.arguments)
        for found in json.loads(item.output):
            print(f"found {found['index']}: {found['title']} {found['url']}")


client = OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"])
image = {"type": "input_image", "image_url": os.environ["IMAGE_URL"]}
question = {"type": "input_text", "text": "Find landscapes in this style."}
response = client.responses.create(
    model="qwen3.7-plus",
    input=[{"role": "user", "content": [question, image]}],
    tools=[{"type": "image_search"}],
    stream="stream" in sys.argv,
)
if "stream" in sys.argv:
    text = ""
    for event in response:
        if event.type == "response.output_item.done":
            show(event.item)
        elif event.type == "response.output_text.delta":
            text += event.delta
    response = event.response
else:
    text = response.output_text
    for item in response.output:
        show(item)
print("text:", text)
print("tokens:", response.usage.total_tokens)
print("tool count:", response.usage.x_tools["image_search"]["count"])
