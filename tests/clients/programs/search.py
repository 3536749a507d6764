"""Search by image with openai-python, waiting for the whole answer."""
# mypy: ignore-errors

import json
import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"])
response = client.responses.create(
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
)
for item in response.output:
    if item.type == "image_search_call":
        print("tool call:", item.arguments)
        for found in json.loads(item.output):
            print(f"found {found['index']}: {found['title']} {found['url']}")
print("text:", response.output_text)
print("tokens:", response.usage.total_tokens)
print("tool count:", response.usage.x_tools["image_search"]["count"])
