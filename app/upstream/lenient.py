"""Reading JSON of which nothing is certain: what has the wrong type counts as missing."""

import json
from typing import Any

Json = dict[str, Any]

COUNT_MAX = 2**53  # Larger numbers are mistakes; not every JSON parser keeps them.


def parse(text: bytes | str) -> Any:
    """The value of a JSON text; `None` for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_object(text: bytes | str) -> Json | None:
    """The object that a JSON text holds; `None` for anything else."""
    value = parse(text)
    return value if isinstance(value, dict) else None


def as_object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int:
    """A plausible number of things; else 0."""
    return value if type(value) is int and 0 < value < COUNT_MAX else 0
