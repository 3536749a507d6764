"""The answer to a request: its output items, its text, and the response object.

Some words are Chinese, so that not all text is ASCII.
"""

import json
import random
import re
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final

from simulator import question
from simulator.catalogue import without_scenarios
from simulator.gallery import SearchImage
from simulator.plan import Plan
from simulator.record import Charge

Item = dict[str, Any]
# Of each search, the index of its image and what it found.
Searches = list[tuple[int, list[dict[str, Any]]]]

_FIRST_THOUGHT: Final = (
    "The user wants similar pictures. 我先搜索相似的图片。 I search with all of it."
)
_NEXT_THOUGHT: Final = "The search is done 搜索完成. I compare its results with the question."
_PLAIN: Final = "This is a simulated answer 模拟回答: no model has looked at your picture."
_CLOSINGS: Final = (
    "They share their colours and how these are arranged. 它们的颜色和构图相似。",
    "What they have in common 共同点: similar colours, in similar places.",
)
_RESULTS_NAMED: Final = 3
# The vendor's vision page: one token for 32x32 pixels and two more, at most so many an image.
_PIXELS_PER_TOKEN: Final = 32 * 32
_IMAGE_TOKENS_MAX: Final = 2500
_CALL_TOKENS: Final = 20
_SEEDED_TIME_S: Final = 1_790_000_000


class Ids:
    """The identifiers and the time of one call; a seed repeats them."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.SystemRandom() if seed is None else random.Random(str(seed))  # noqa: S311
        # Seconds since 1970.
        self.now_s = int(time.time()) if seed is None else _SEEDED_TIME_S

    def new(self, prefix: str = "") -> str:
        """A UUID behind a prefix. The vendor's is `msg_` for every type of item."""
        return f"{prefix}{uuid.UUID(int=self._random.getrandbits(128), version=4)}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The response object at its end, and what the whole of it costs."""

    response: dict[str, Any]
    charge: Charge


def compose(
    body: dict[str, Any], images: list[SearchImage], searches: Searches, *, plan: Plan, ids: Ids
) -> Answer:
    """The answer to a valid request."""
    prompt = without_scenarios(question.prompt_of(body))
    response_id, now_s = ids.new("resp_"), ids.now_s
    text = words(_text(searches, prompt, plan))
    length = len(text) // 2 if "incomplete" in plan.names else len(text)
    length = min(length, int(body.get("max_output_tokens") or sys.maxsize))
    items = _items(searches, "".join(text[:length]), body=body, plan=plan, ids=ids)
    # Results go into the prompt again after a search.
    appended = sum(len(item.get("output", "")) // 3 for item in items)
    input_tokens = len(words(prompt)) + sum(map(_image_tokens, images)) + appended
    charge = Charge(len(searches), input_tokens, sum(map(output_tokens, items)))
    response = {"background": False, "completed_at": now_s, "created_at": now_s, "id": response_id}
    response |= {"model": body["model"], "object": "response", "output": items}
    response["status"] = "completed" if length == len(text) else "incomplete"
    response |= question.echoed(body)
    if "usage_missing" not in plan.names:
        with_tools = "usage_without_x_tools" not in plan.names
        response["usage"] = _usage(charge, images, items, with_tools=with_tools)
    return Answer(response, charge)


def words(text: str) -> list[str]:
    """The text in words with the space after each; joined they are the text again."""
    return re.findall(r"\S+\s*|^\s+", text)


def item_text(item: Item) -> str:
    """The text of a reasoning item or a message."""
    text: str = (item.get("summary") or item["content"])[0]["text"]
    return text


def output_tokens(item: Item) -> int:
    """A word counts as a token; the arguments of a call have a fixed number."""
    return _CALL_TOKENS if item["type"] == "image_search_call" else len(words(item_text(item)))


def _items(
    searches: Searches, text: str, *, body: dict[str, Any], plan: Plan, ids: Ids
) -> list[Item]:
    reasons = "no_reasoning" not in plan.names and question.reasons(body)
    items = [_reasoning(ids, _FIRST_THOUGHT)] if reasons else []
    if "message_call_message" in plan.names:
        items.append(_message(ids, "Let me search 搜索 for that."))
    for image, found in searches:
        items.append(_call(ids, image, found))
        items += [_reasoning(ids, _NEXT_THOUGHT)] if reasons else []
    return [*items, _message(ids, text)]


def _reasoning(ids: Ids, text: str) -> Item:
    summary = [{"type": "summary_text", "text": text}]
    return {"summary": summary, "type": "reasoning", "id": ids.new("msg_")}


def _message(ids: Ids, text: str) -> Item:
    part: Item = {"annotations": [], "text": text, "type": "output_text", "logprobs": None}
    head: Item = {"id": ids.new("msg_"), "content": [part], "role": "assistant"}
    return head | {"status": "completed", "type": "message"}


def _call(ids: Ids, image: int, found: list[dict[str, Any]]) -> Item:
    # Strings inside the JSON have Python's spacing on the vendor's wire, unlike the JSON around.
    arguments = json.dumps({"img_idx": image, "bbox": [0, 0, 1000, 1000]})
    head = {"name": "image_search", "output": json.dumps(found, ensure_ascii=False)}
    tail = {"id": ids.new("msg_"), "type": "image_search_call", "status": "completed"}
    return head | {"arguments": arguments} | tail


def _text(searches: Searches, prompt: str, plan: Plan) -> str:
    found = searches[0][1] if searches else []
    sentences = [_PLAIN]
    if not searches:
        sentences.append("No search was made 没有搜索, so there is nothing to show.")
    elif not found:
        sentences.append("The search found no similar pictures. 没有找到相似的图片。")
    else:
        sentences.append(f"The search found {len(found)} pictures; the most similar are")
        named = found[:_RESULTS_NAMED]
        sentences += [f"{each['index']}. “{each['title']}” ( {each['url']} )" for each in named]
        chooser = random.Random(f"{plan.seed}:{prompt}")  # noqa: S311 - no secrets
        sentences.append(chooser.choice(_CLOSINGS))
    if "invented_url" in plan.names:
        sentences.append("See also https://invented.example/pictures/image1.jpg for more.")
    if "echo_key" in plan.names:
        sentences.append(f"(An error came back: Incorrect API key provided: {plan.key} )")
    return " ".join(sentences)


def _image_tokens(image: SearchImage) -> int:
    pixels = image.seen.width * image.seen.height
    return min(max(4, pixels // _PIXELS_PER_TOKEN + 2), _IMAGE_TOKENS_MAX)


def _usage(
    charge: Charge, images: list[SearchImage], items: list[Item], *, with_tools: bool
) -> dict[str, Any]:
    total = charge.input_tokens + charge.output_tokens
    reasoning = sum(output_tokens(item) for item in items if item["type"] == "reasoning")
    usage: dict[str, Any] = {"input_tokens": charge.input_tokens}
    usage |= {"output_tokens": charge.output_tokens, "total_tokens": total}
    usage["output_tokens_details"] = {"reasoning_tokens": reasoning}
    detail = usage | {"x_billing_type": "response_api"}
    detail["image_tokens"] = sum(map(_image_tokens, images))
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "x_details": [detail]}
    if with_tools and charge.tool_calls:
        usage["x_tools"] = detail["plugins"] = {"image_search": {"count": charge.tool_calls}}
    return usage
