"""The answer to a question: its items, its usage, and the response object. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from simulator import wording

if TYPE_CHECKING:
    from simulator.ids import Ids
    from simulator.images import SeenImage
    from simulator.plan import Plan
    from simulator.question import Question

# The vendor's vision page: one token for 32x32 pixels and two more, at most so many an image.
_PIXELS_PER_TOKEN: Final = 32 * 32
_IMAGE_TOKENS_MAX: Final = 2500
# Output tokens that a call's arguments count for.
CALL_TOKENS: Final = 20
_WHOLE_PICTURE: Final = (0, 0, 1000, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One output item. `text`: of reasoning and messages; the other two: of searches."""

    kind: Literal["reasoning", "call", "message"]
    id: str
    text: str = ""
    arguments: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens, roughly, and searches."""

    input_tokens: int
    image_tokens: int
    output_tokens: int
    reasoning_tokens: int
    searches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, before it is framed."""

    id: str
    created_at: int
    model: str
    status: Literal["completed", "incomplete"]
    items: tuple[Item, ...]
    usage: Usage
    echoed: dict[str, Any]


def compose(
    question: Question,
    images: tuple[SeenImage, ...],
    *,
    finds: list[tuple[int, list[dict[str, Any]]]],
    plan: Plan,
    ids: Ids,
) -> Answer:
    """The answer to a question, given what was found for which image."""
    roll = wording.dice(plan.knobs.seed, question.prompt)
    response_id = ids.response()
    thinks = question.thinks and plan.shape.reasoning
    items: list[Item] = []
    if thinks:
        items.append(Item(kind="reasoning", id=ids.item(), text=wording.first_thought(roll)))
    if plan.shape.opening_message:
        items.append(Item(kind="message", id=ids.item(), text="Let me search 搜索 for that."))
    for image, found in finds:
        items.append(_call(ids.item(), image, found))
        if thinks:
            items.append(Item(kind="reasoning", id=ids.item(), text=wording.next_thought(roll)))
    found_first = finds[0][1] if finds else None
    text = wording.answer_text(found_first, roll, shape=plan.shape, key=plan.knobs.key)
    short = _shortened(text, question, plan)
    items.append(Item(kind="message", id=ids.item(), text=short))
    return Answer(
        id=response_id,
        created_at=ids.now_s(),
        model=question.model,
        status="completed" if short == text else "incomplete",
        items=tuple(items),
        usage=_count(question, images, items),
        echoed=question.echoed,
    )


def item_json(item: Item) -> dict[str, Any]:
    """A finished item as the wire has it."""
    if item.kind == "reasoning":
        summary = [{"type": "summary_text", "text": item.text}]
        return {"summary": summary, "type": "reasoning", "id": item.id}
    if item.kind == "call":
        return {
            "name": "image_search",
            "output": item.output,
            "arguments": item.arguments,
            "id": item.id,
            "type": "image_search_call",
            "status": "completed",
        }
    part: dict[str, Any] = {
        "annotations": [],
        "text": item.text,
        "type": "output_text",
        "logprobs": None,
    }
    return {
        "id": item.id,
        "content": [part],
        "role": "assistant",
        "status": "completed",
        "type": "message",
    }


def response_json(answer: Answer, plan: Plan) -> dict[str, Any]:
    """The whole response object."""
    body = {
        "background": False,
        "completed_at": answer.created_at,
        "created_at": answer.created_at,
        "id": answer.id,
        "model": answer.model,
        "object": "response",
        "output": [item_json(item) for item in answer.items],
        "status": answer.status,
        **answer.echoed,
    }
    if plan.shape.usage != "missing":
        body["usage"] = _usage_json(answer.usage, with_tools=plan.shape.usage == "full")
    return body


def _call(item_id: str, image: int, found: list[dict[str, Any]]) -> Item:
    # Strings inside the JSON have Python's spacing on the vendor's wire, unlike the JSON around.
    return Item(
        kind="call",
        id=item_id,
        arguments=json.dumps({"img_idx": image, "bbox": _WHOLE_PICTURE}),
        output=json.dumps(found, ensure_ascii=False),
    )


def _shortened(text: str, question: Question, plan: Plan) -> str:
    parts = wording.words(text)
    most = question.max_words or len(parts)
    if plan.shape.cut_short:
        most = min(most, len(parts) // 2)
    return text if most >= len(parts) else "".join(parts[:most])


def _count(question: Question, images: tuple[SeenImage, ...], items: list[Item]) -> Usage:
    image_tokens = sum(_image_tokens(image) for image in images)
    # Reasoning and results go into the prompt again after a search.
    appended = sum(len(item.output) // 3 for item in items)
    thoughts = sum(len(wording.words(item.text)) for item in items if item.kind == "reasoning")
    said = sum(len(wording.words(item.text)) for item in items if item.kind == "message")
    searches = sum(item.kind == "call" for item in items)
    return Usage(
        input_tokens=len(wording.words(question.prompt)) + 20 + image_tokens + appended,
        image_tokens=image_tokens,
        output_tokens=thoughts + said + CALL_TOKENS * searches,
        reasoning_tokens=thoughts,
        searches=searches,
    )


def _image_tokens(image: SeenImage) -> int:
    pixels = image.picture.width * image.picture.height
    return min(max(4, pixels // _PIXELS_PER_TOKEN + 2), _IMAGE_TOKENS_MAX)


def _usage_json(usage: Usage, *, with_tools: bool) -> dict[str, Any]:
    totals = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    tools = {"image_search": {"count": usage.searches}}
    reasoning = {"reasoning_tokens": usage.reasoning_tokens}
    detail: dict[str, Any] = {**totals, "x_billing_type": "response_api"}
    detail |= {"image_tokens": usage.image_tokens, "output_tokens_details": reasoning}
    counted = with_tools and usage.searches > 0
    if counted:
        detail["plugins"] = tools
    body: dict[str, Any] = {
        **totals,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": reasoning,
        "x_details": [detail],
    }
    return body | {"x_tools": tools} if counted else body
