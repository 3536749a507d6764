"""What simulated answers say. Some words are Chinese, so that not all text is ASCII."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from simulator.ids import chance

if TYPE_CHECKING:
    import random

    from simulator.plan import Shape

INVENTED_URL: Final = "https://invented.example/pictures/image1.jpg"

_NAMED: Final = 3
_FIRST_THOUGHTS: Final = (
    "The user wants similar pictures. 我先搜索相似的图片。 I search with the whole picture.",
    "Let me look at the picture first 看一看, then search for others that resemble it.",
    "A picture came with the question. The image search 图片搜索 should find its neighbours.",
)
_NEXT_THOUGHTS: Final = (
    "The search is done 搜索完成. I compare what it found with the question.",
    "Now I have the results 结果 and can say what they share.",
)
_CLOSINGS: Final = (
    "They share their colours and how these are laid out. 它们的颜色和构图相似。",
    "What they have in common 共同点: similar colours, in similar places.",
)
_PLAIN: Final = "This is a simulated answer 模拟回答: no model has looked at your picture."


def words(text: str) -> list[str]:
    """The text in words with the space after each; joined they are the text again."""
    return re.findall(r"\S+\s*|^\s+", text)


def dice(seed: int, prompt: str) -> random.Random:
    """The choices of one answer."""
    return chance(f"{seed}:{prompt}")


def first_thought(roll: random.Random) -> str:
    """Reasoning before anything else."""
    return roll.choice(_FIRST_THOUGHTS)


def next_thought(roll: random.Random) -> str:
    """Reasoning after a search."""
    return roll.choice(_NEXT_THOUGHTS)


def answer_text(
    found: list[dict[str, Any]] | None, roll: random.Random, *, shape: Shape, key: str
) -> str:
    """The answer; `found` is None when nothing was searched."""
    sentences = [_PLAIN]
    if found is None:
        sentences.append("No search was made 没有搜索, so there is nothing to show.")
    elif not found:
        sentences.append("The search found no similar pictures. 没有找到相似的图片。")
    else:
        named = [f"{each['index']}. “{each['title']}” ( {each['url']} )" for each in found[:_NAMED]]
        sentences += [f"The search found {len(found)} pictures; the most similar are", *named]
        sentences.append(roll.choice(_CLOSINGS))
    if shape.invented_url:
        sentences.append(f"See also {INVENTED_URL} for more.")
    if shape.echoes_key:
        sentences.append(f"(An error came back: Incorrect API key provided: {key} )")
    return " ".join(sentences)
