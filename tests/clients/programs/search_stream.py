"""Search by image with openai-python, reading the answer as it is made."""
# mypy: ignore-errors

import json
import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"])
stream = client.responses.create(
    model="qwen3.7-plus",
    input=[
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Find landscapes in this style."},
                {"type": "input_image", "image_url": os.environ["IMAGE_URL"]},
            ],
        }
    ],
    tools=[{"type": "image_search"}],
    stream=True,
)
text = ""
for event in stream:
    if event.type == "response.output_item.done" and event.item.type == "image_search_call":
        print("tool call:", event.item.arguments)
        for found in json.loads(event.item.output):
            print(f"found {found['index']}: {found['title']} {found['url']}")
    elif event.type == "response.output_text.delta":
        text += event.delta
    elif event.type == "response.completed":
        usage = event.response.usage
        print("text:", text)
        print("tokens:", usage.total_tokens)
        print("tool count:", usage.x_tools["image_search"]["count"])
