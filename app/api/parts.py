"""The parts of a Responses API request: which are passed on, and where its images stand. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.errors import FIELD_MAX_CHARS, InvalidRequest

Json = dict[str, Any]

PARTS = frozenset(
    {
        "input_text",
        "text",
        "output_text",
        "summary_text",
        "reasoning_text",
        "refusal",
        "input_image",
        "image_url",
    }
)
"""The kinds of content that are passed on: text, and images by address or `data:` URL."""

PART_LISTS = frozenset({"content", "summary"})
"""Members of an input item that hold parts; `output` of a function call may hold some too."""

FETCHABLE = frozenset(
    {
        "image",
        "file_url",
        "file_id",
        "file_data",
        "input_file",
        "input_audio",
        "input_video",
        "audio",
        "audio_url",
        "video",
        "video_url",
    }
)
"""What the upstream would fetch, or read from its owner's account, unseen by the URL policy."""

TEXTS = ("input", "instructions", "prompt")
"""Top-level members that may hold parts."""

DEPTH_MAX = 64
"""Far deeper than any content stands; every level holds a generator open."""


class Path(NamedTuple):
    """Where something stands, as a chain that is written out only when it is refused."""

    above: "Path | None"
    step: str

    def __str__(self) -> str:
        steps: list[str] = []
        here: Path | None = self
        while here:
            steps.append(here.step[:FIELD_MAX_CHARS])
            here = here.above
        return "".join(reversed(steps))


@dataclass(slots=True)
class Picture:
    """Where an image's URL stands in a request; setting `url` sets it there."""

    _holder: Json
    _name: str
    digest: str = ""

    @property
    def url(self) -> str:
        """The URL as it stands there."""
        url: str = self._holder[self._name]
        return url

    @url.setter
    def url(self, url: str) -> None:
        self._holder[self._name] = url


def pictures_of(body: Json) -> Iterator[Picture]:
    """Find all images in the body, in their order.

    Raises:
        InvalidRequest: Something is there that the upstream would fetch, and is no image; or
            too deep to look for it.
    """
    for name in TEXTS:
        value = body.get(name)
        if name == "input" and isinstance(value, list):
            for place, item in enumerate(value):
                _check_item(item, place)
        if isinstance(value, dict | list):
            yield from _search(value, Path(None, name), depth=1)


def _check_item(item: object, place: int) -> None:
    known: Json = item if isinstance(item, dict) else {}
    kind = known.get("type", "message" if "role" in known else None)
    if not isinstance(kind, str) or kind == "item_reference":
        raise InvalidRequest.of(
            f"input[{place}]",
            "Must be a whole item with a role or a type; references are not read.",
        )


def _search(
    value: Json | list[Any], path: Path, *, depth: int, parts: bool = False
) -> Iterator[Picture]:
    if depth > DEPTH_MAX:
        raise InvalidRequest.of(str(path), f"May be nested {DEPTH_MAX} levels deep at most.")
    if isinstance(value, dict):
        yield from _search_members(value, path, depth)
        return
    for place, one in enumerate(value):
        if isinstance(one, dict | list):
            where = Path(path, f"[{place}]")
            if parts and isinstance(one, dict) and not _passed_on(one.get("type")):
                raise InvalidRequest.of(f"{where}.type", "Only text and images are passed on.")
            yield from _search(one, where, depth=depth + 1)


def _search_members(value: Json, path: Path, depth: int) -> Iterator[Picture]:
    for name, inner in value.items():
        if name in FETCHABLE and inner is not None:
            raise InvalidRequest.of(f"{path}.{name}", "Files, audio and video are not passed on.")
        if name == "image_url" and inner is not None:
            yield _picture(value, inner, path)
        elif isinstance(inner, dict | list):
            where = Path(Path(path, "."), name)
            yield from _search(inner, where, depth=depth + 1, parts=name in PART_LISTS)


def _passed_on(kind: object) -> bool:
    return isinstance(kind, str) and kind in PARTS


def _picture(holder: Json, value: object, path: Path) -> Picture:
    """The URL itself, or in an object as chat completions have it."""
    if isinstance(value, str):
        return Picture(holder, "image_url")
    inner: Json = value if isinstance(value, dict) else {}
    if isinstance(inner.get("url"), str) and FETCHABLE.isdisjoint(inner):
        return Picture(inner, "url")
    raise InvalidRequest.of(f"{path}.image_url", "Must be a URL, or an object with one.")
