"""A request's body, read within limits from its first byte on, into fields and files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.requests import ClientDisconnect, Request

from app.api.idle import Idle
from app.api.multipart import Form
from app.errors import ImageTooLarge, InvalidRequest, MalformedBody
from app.images.memory import MemoryReservation

JSON = "application/json"
FORM_FIELDS_MAX = 64
"""Parts of a form beside its images: far more than there are fields."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Sizes in bytes, time in seconds; `0` switches a limit off."""

    body_bytes: int
    file_bytes: int
    files: int
    idle_s: float


class Body(NamedTuple):
    """What a caller sent: JSON-like fields, and image files in their order."""

    fields: dict[str, Any]
    files: list[bytearray]
    strict: bool
    """Whether values came with types of their own (JSON), or all as text."""


async def read_body(request: Request, limits: BodyLimits, held: MemoryReservation) -> Body:
    """Read a JSON or multipart body, drawing on the memory set aside for pictures as it arrives.

    Raises:
        MalformedBody: Neither of the two, or broken, or it stalled.
        ImageTooLarge: The body or a file in it is over its limit; said while it still arrives.
        InvalidRequest: A field came as a file, or a file as a field.
        Overloaded: What others hold leaves no memory for it now.
    """
    media_type = media_type_of(request)
    if media_type == JSON:
        return await _read_json(request, limits, held)
    if media_type == "multipart/form-data":
        return await _read_form(request, limits, held)
    raise MalformedBody("The Content-Type must be application/json or multipart/form-data.")


def require_json(request: Request) -> None:
    """Refuse a body that does not say that it is JSON.

    Raises:
        MalformedBody: It does not.
    """
    if media_type_of(request) != JSON:
        raise MalformedBody(f"The Content-Type must be {JSON}.")


def media_type_of(request: Request) -> str:
    """The body's media type, without its parameters; empty if it has none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_bytes(request: Request, limits: BodyLimits, held: MemoryReservation) -> bytearray:
    """Read a body of any kind, within its limits; raises as `read_body`."""
    body = bytearray()
    await _receive(request, limits, held, into=body.extend)
    return body


async def _read_json(request: Request, limits: BodyLimits, held: MemoryReservation) -> Body:
    try:
        fields = json.loads(await read_bytes(request, limits, held))
    except (ValueError, RecursionError) as exc:
        raise MalformedBody("The body is not valid JSON.") from exc
    if not isinstance(fields, dict):
        raise MalformedBody("The JSON body must be an object.")
    return Body(fields, [], strict=True)


async def _read_form(request: Request, limits: BodyLimits, held: MemoryReservation) -> Body:
    form = Form(
        request.headers["content-type"],
        max_file_bytes=limits.file_bytes,
        max_parts=limits.files + FORM_FIELDS_MAX,
    )
    try:
        await _receive(request, limits, held, into=form.feed)
    except BaseException:
        # Else the exception's traceback holds what had come until it is answered.
        form.drop()
        raise
    fields: list[tuple[str, str]] = []
    files = []
    for part in form.close():
        if part.filename is None:
            fields.append((part.name, _text(part.name, part.data)))
        elif part.name != "image":
            raise InvalidRequest.of(part.name, "Files belong into the field 'image'.")
        elif part.filename or part.data:
            # A form that was sent with no file chosen has a part without name and content.
            files.append(part.data)
    return Body(gather(fields), files, strict=False)


def gather(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Turn repeated text fields into request fields; only `image_url` may repeat.

    Raises:
        InvalidRequest: Another field came twice, or the image came as text.
    """
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name == "image_url":
            fields.setdefault(name, []).append(value)
        elif name == "image":
            raise InvalidRequest.of(name, "Must be a file; a URL belongs into 'image_url'.")
        elif name in fields:
            raise InvalidRequest.of(name, "Was given more than once.")
        else:
            fields[name] = value
    return fields


def _text(name: str, data: bytearray) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise MalformedBody(f"The field '{name[:64]}' is not valid UTF-8.") from exc


async def _receive(
    request: Request, limits: BodyLimits, held: MemoryReservation, *, into: Callable[[bytes], None]
) -> None:
    if 0 < limits.body_bytes < _declared_bytes(request):
        raise _too_large(limits)
    received_bytes, more = 0, True
    try:
        async with Idle(limits.idle_s) as idle:
            while more:
                message = await request.receive()
                idle.heard()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                piece = message.get("body", b"")
                more = message.get("more_body", False)
                received_bytes += len(piece)
                if 0 < limits.body_bytes < received_bytes:
                    raise _too_large(limits)
                held.grow(len(piece))
                into(piece)
    except TimeoutError as exc:
        raise MalformedBody(f"Nothing of the body came for {limits.idle_s:g} s.") from exc
    if received_bytes < _declared_bytes(request):
        # uvicorn's own parser takes a wish for HTTP/2 for the end of the request.
        raise MalformedBody("Less of the body came than its Content-Length says.")


def _declared_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "0")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def _too_large(limits: BodyLimits) -> ImageTooLarge:
    return ImageTooLarge(f"A request's body may have {limits.body_bytes} bytes at most.")
