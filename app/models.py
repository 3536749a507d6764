"""The words of the service: what a search is asked, what it says, what comes of it. No I/O."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple

Status = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]
Outcome = Literal["matched", "no_match", "tool_skipped"]
Phase = Literal["waiting", "thinking", "searching", "answering"]

OWN_PREFIX = "search."
"""Names of the events that this service adds to the upstream's."""


def json_bytes(value: Any) -> bytes:
    """JSON text in UTF-8, compact.

    JSON can hold halves of surrogate pairs, and text that is cut in mid-pair does, but UTF-8
    cannot: halves that meet are joined, others become U+FFFD.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks. `name` owns searches and spends; `meter` is what its rate is counted by."""

    name: str
    meter: str


@dataclass(frozen=True, slots=True)
class ImageInput:
    """An image as it goes upstream: an `http(s)` or `data:` URL in ASCII, and its content's digest.

    The digest is the SHA-256 of the bytes that were sent in (for a URL, of the URL), so the same
    picture has the same digest however it was wrapped.
    """

    url: bytes = field(repr=False)
    digest: str


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """One search as asked. `max_output_tokens` counts tokens; `None` leaves a choice upstream."""

    images: tuple[ImageInput, ...]
    prompt: str = field(repr=False)
    model: str
    instructions: str | None = field(default=None, repr=False)
    previous_response_id: str | None = None
    max_output_tokens: int | None = None
    thinking: bool = True

    @property
    def size_bytes(self) -> int:
        """What the images take in memory, and on the wire."""
        return sum(len(image.url) for image in self.images)

    def fingerprint(self, client: Client) -> str:
        """Equal for requests that must give the same answer to the same client."""
        parts = [
            client.name,
            [image.digest for image in self.images],
            self.prompt,
            self.model,
            self.instructions,
            self.previous_response_id,
            self.max_output_tokens,
            self.thinking,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A caller's own request to the Responses API, checked: JSON text, as it goes upstream.

    `images` counts the pictures in it; `digest` is equal for requests that ask the same.
    """

    payload: bytes = field(repr=False)
    model: str
    stream: bool
    images: int = 0
    max_output_tokens: int | None = None
    digest: str = ""


class Event(NamedTuple):
    """One server-sent event: its name, and its `data` as bytes of JSON text."""

    type: str
    data: bytes

    @property
    def own(self) -> bool:
        """Whether this service made it, not the upstream."""
        return self.type.startswith(OWN_PREFIX)


Emit = Callable[[Sequence[Event]], None]
"""How events are handed down, from the upstream to the log: those that came at once, together."""


@dataclass(frozen=True, slots=True)
class Match:
    """A picture that the tool found: its 1-based place in the list, and for which image."""

    index: int
    title: str
    url: str
    image: int

    def as_json(self) -> dict[str, Any]:
        """One of the API's `results`."""
        return {"index": self.index, "title": self.title, "url": self.url, "image": self.image}


@dataclass(frozen=True, slots=True)
class ImageSearch:
    """One call of the tool: image number from 0, box in thousandths of the sides, what it found."""

    image: int
    bbox: tuple[int, int, int, int]
    results: tuple[Match, ...]

    def as_json(self) -> dict[str, Any]:
        """The data of a `search.results`."""
        results = [match.as_json() for match in self.results]
        return {"image": self.image, "bbox": self.bbox, "results": results}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and tool calls, as the upstream counted them."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    image_search_calls: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """Money in CNY, exact."""

    tokens: Decimal
    tools: Decimal

    @property
    def total(self) -> Decimal:
        return self.tokens + self.tools

    def as_json(self) -> dict[str, Any]:
        """The numbers as shown to a caller."""
        return {
            "currency": "CNY",
            "total": float(self.total),
            "tokens": float(self.tokens),
            "tools": float(self.tools),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What the upstream's events add up to so far. `status` is `None` before a terminal event."""

    status: Literal["completed", "incomplete"] | None = None
    text: str = ""
    searches: tuple[ImageSearch, ...] = ()
    usage: Usage | None = None
    response_id: str | None = None
    model: str | None = None

    @property
    def results(self) -> tuple[Match, ...]:
        return tuple(match for search in self.searches for match in search.results)

    @property
    def outcome(self) -> Outcome | None:
        if self.searches:
            return "matched" if self.results else "no_match"
        return "tool_skipped" if self.status else None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A search as its caller sees it, while it runs and when it has ended."""

    id: str
    status: Status
    model: str
    answer: Answer
    created_at: int
    completed_at: int | None = None
    cost: Cost | None = None
    warnings: tuple[str, ...] = ()
    error: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The `SearchResult` object of the API."""
        answer = self.answer
        return {
            "id": self.id,
            "object": "search",
            "status": self.status,
            "outcome": answer.outcome,
            "model": answer.model or self.model,
            "text": answer.text,
            "results": [match.as_json() for match in answer.results],
            "searches": [
                {"image": call.image, "bbox": list(call.bbox), "count": len(call.results)}
                for call in answer.searches
            ],
            "usage": asdict(answer.usage) if answer.usage else None,
            "cost": self.cost.as_json() if self.cost else None,
            "warnings": list(self.warnings),
            "error": self.error,
            "upstream_response_id": answer.response_id,
            "created_at": self.created_at,
            "completed_at": self.completed_at,
        }
