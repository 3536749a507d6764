"""Prints the events of one search as they come: phases, results, answer, cost."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

PHASES = {"reasoning": "thinking", "image_search_call": "searching", "message": "answering"}


def events(chunks: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """The name and the JSON data of each event of a stream, as soon as its blank line came."""
    rest = b""
    for chunk in chunks:
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            # Not `str.splitlines`, which also cuts at U+2028: JSON may have that in its text.
            fields = dict(line.split(":", 1) for line in block.decode().split("\n") if ":" in line)
            if "data" in fields:
                yield fields["event"].strip(), json.loads(fields["data"])


def print_search(stream: Iterable[tuple[str, Any]]) -> bool:
    """Print a search; whether it ended as it should."""
    began_s, phase = time.monotonic(), ""
    for name, data in stream:
        entered = _phase(name, data)
        if entered and entered != phase:
            phase = entered
            say(f"{time.monotonic() - began_s:6.1f} s  {phase}")
        if name == "response.output_text.delta":
            say(data["delta"], end="")
        elif name == "search.results":
            say(f"          {len(data['results'])} similar pictures")
            for result in data["results"]:
                say(f"{result['index']:>12}  {result['title']}\n              {result['url']}")
        elif name == "search.completed":
            _print_summary(data)
            return True
        elif name == "search.failed":
            say(f"The search failed: {json.dumps(data['error'], indent=2, ensure_ascii=False)}")
            return False
    say("The search was cancelled, or its stream ended early.")
    return False


def say(text: str, end: str = "\n") -> None:
    """Print text without the control characters that could drive the terminal."""
    sys.stdout.write("".join(c for c in text if c == "\n" or c.isprintable()) + end)
    sys.stdout.flush()


def _phase(name: str, data: dict[str, Any]) -> str:
    """The phase that an event begins, or nothing."""
    if name == "search.created":
        return "waiting"
    if name == "search.progress":
        return str(data["phase"])
    return PHASES.get(data["item"]["type"], "") if name == "response.output_item.added" else ""


def _print_summary(result: dict[str, Any]) -> None:
    usage, cost = result["usage"], result["cost"]
    say(f"\n\n{result['status']}, {result['outcome']}, {len(result['results'])} results")
    if usage:
        tokens = f"{usage['input_tokens']} tokens in, {usage['output_tokens']} out"
        say(f"{tokens}, image searches: {usage['image_search_calls']}")
    say(f"cost: {cost['total']:f} {cost['currency']}" if cost else "cost: unknown price")
