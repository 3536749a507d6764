"""The parts of a Responses API request: which are passed on, and where its images stand. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.errors import FieldError, InvalidRequest

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


PATH_MAX_CHARS = 128


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
        InvalidRequest: Something is there that the upstream would fetch, and is no image.
    """
    for name in TEXTS:
        value = body.get(name)
        if name == "input" and isinstance(value, list):
            for place, item in enumerate(value):
                _check_item(item, f"input[{place}]")
        if not isinstance(value, str):
            yield from _search(value, name)


def _check_item(item: object, path: str) -> None:
    known: Json = item if isinstance(item, dict) else {}
    kind = known.get("type", "message" if "role" in known else None)
    if not isinstance(kind, str) or kind == "item_reference":
        raise _refused(path, "Must be a whole item with a role or a type; references are not read.")


def _search(value: object, path: str, *, parts: bool = False) -> Iterator[Picture]:
    if isinstance(value, list):
        for place, one in enumerate(value):
            where = f"{path}[{place}]"
            if parts and isinstance(one, dict) and str(one.get("type")) not in PARTS:
                raise _refused(f"{where}.type", "Only text and images are passed on.")
            yield from _search(one, where)
    elif isinstance(value, dict):
        for name, inner in value.items():
            where = f"{path}.{name}"
            if name in FETCHABLE and inner is not None:
                raise _refused(where, "Files, audio and video are not passed on.")
            if name == "image_url" and inner is not None:
                yield _picture(value, inner, where)
            elif not isinstance(inner, str):
                yield from _search(inner, where, parts=name in PART_LISTS)


def _picture(holder: Json, value: object, path: str) -> Picture:
    """The URL itself, or in an object as chat completions have it."""
    if isinstance(value, str):
        return Picture(holder, "image_url")
    inner: Json = value if isinstance(value, dict) else {}
    if isinstance(inner.get("url"), str) and FETCHABLE.isdisjoint(inner):
        return Picture(inner, "url")
    raise _refused(path, "Must be a URL, or an object with one.")


def _refused(path: str, reason: str) -> InvalidRequest:
    field = FieldError(path[:PATH_MAX_CHARS], reason)
    return InvalidRequest("A field is not valid.", fields=[field])
