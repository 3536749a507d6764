"""LangChain: it cannot resume, and raises."""
# mypy: ignore-errors

import json
import os

from langchain_openai import ChatOpenAI

image = {"type": "image_url", "image_url": {"url": os.environ["IMAGE_URL"]}}
question = {"type": "text", "text": os.environ["PROMPT"]}
model = ChatOpenAI(
    model="qwen3.7-plus",
    base_url=f"{os.environ['SERVICE']}/v1",
    api_key="any",
    use_responses_api=True,
).bind(tools=[{"type": "image_search"}])
text = error = ""
try:
    for chunk in model.stream([{"role": "user", "content": [question, image]}]):
        text += chunk.text
except Exception as raised:  # noqa: BLE001 - whichever it is, it is told
    error = repr(raised)
print(json.dumps({"text": text, "error": error}))
