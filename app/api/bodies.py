"""A request's body, read within bounds of size, time and memory, and validated."""

import asyncio
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from app.api.json_bounds import JsonBounds
from app.api.middleware import has_body
from app.api.problems import invalid_fields
from app.errors import (
    EncodingUnsupported,
    ImageTooLarge,
    InvalidRequest,
    MalformedBody,
    UploadTimeout,
)
from app.images.memory import MemoryReservation
from app.settings import Settings

Model = TypeVar("Model", bound=BaseModel)

JSON, MULTIPART = "application/json", "multipart/form-data"
FOREVER_S = 31_536_000
PARTS_MAX = 512
"""Most files, and most fields, that a form is parsed for; how many may be there is checked later."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bytes and seconds; 0 disables a limit."""

    body_bytes: int
    file_bytes: int
    idle_s: float
    total_s: float

    @classmethod
    def of(cls, settings: Settings, *, body_bytes: int | None = None) -> "BodyLimits":
        """The limits that the settings give."""
        return cls(
            body_bytes=settings.body_max_bytes if body_bytes is None else body_bytes,
            file_bytes=settings.image_max_bytes,
            idle_s=settings.upload_idle_timeout_s,
            total_s=settings.upload_timeout_s,
        )


def media_type_of(request: Request) -> str:
    """The body's media type, without parameters; empty if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(
    request: Request, limits: BodyLimits, memory: MemoryReservation, *, optional: bool = False
) -> dict[str, Any]:
    """Read a JSON object; an empty one where the body is `optional` and missing.

    Raises:
        MalformedBody: It is not JSON, or not an object.
        InvalidRequest, ImageTooLarge: It has too many members, or too much text.
        UploadTimeout, EncodingUnsupported, Overloaded: As `_chunks`.
    """
    if optional and not has_body(request.headers):
        return {}
    if media_type_of(request) != JSON:
        raise MalformedBody(f"The Content-Type must be {JSON}.")
    text, bounds = BytesIO(), JsonBounds()
    async for chunk in _chunks(request, limits, memory):
        bounds.feed(chunk)
        text.write(chunk)
    n_bytes = text.tell()
    # Until the text is freed, it and what was parsed of it take memory.
    memory.grow(n_bytes)
    try:
        # Of all ways to hold the bytes, this one does not copy them.
        found = from_json(text.getvalue().removeprefix(BOM_UTF8), allow_inf_nan=False)
    except ValueError as exc:
        raise MalformedBody("The body is not valid JSON.") from exc
    finally:
        text.close()
        memory.shrink(n_bytes)
    if not isinstance(found, dict):
        raise MalformedBody("The JSON body must be an object.")
    return found


async def read_form(
    request: Request, limits: BodyLimits, memory: MemoryReservation
) -> dict[str, Any]:
    """Read a multipart body: fields as text, and the files of `image` as bytes, all in memory.

    Raises:
        MalformedBody: It is not multipart/form-data, or ends early.
        InvalidRequest: A field is given twice, or as a file.
        ImageTooLarge, UploadTimeout, EncodingUnsupported, Overloaded: As `_chunks`.
    """
    # As Latin-1 each byte of a text part comes back unchanged: a file without a filename is one.
    headers = Headers({"content-type": request.headers["content-type"] + "; charset=latin-1"})
    parser = Form(
        headers,
        _chunks(request, limits, memory),
        max_files=PARTS_MAX,
        max_fields=PARTS_MAX,
        max_part_size=limits.file_bytes or 2**62,
    )
    try:
        form = await parser.parse()
    except MultiPartException as exc:
        raise MalformedBody("The body is not valid multipart/form-data.") from exc
    try:
        if not parser.complete:
            raise MalformedBody("The multipart body ends before its closing boundary.")
        return await _fields(form.multi_items(), limits)
    finally:
        await form.close()


class Form(MultiPartParser):
    """Starlette's parser, which loses the last part of a body without its closing boundary."""

    spool_max_size = 0
    """Never on disk (`tempfile.SpooledTemporaryFile`)."""
    complete = False

    def on_end(self) -> None:
        """Note that the closing boundary was there."""
        self.complete = True


async def _fields(parts: list[tuple[str, UploadFile | str]], limits: BodyLimits) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, part in parts:
        if name == "image":
            if data := await _file(part, limits):
                fields.setdefault(name, []).append(data)
        elif isinstance(part, UploadFile):
            raise InvalidRequest.of(name, "Must be text; files belong into the field 'image'.")
        elif name == "image_url":
            fields.setdefault(name, []).append(_text(name, part))
        elif name in fields:
            raise InvalidRequest.of(name, "Was given more than once.")
        else:
            fields[name] = _text(name, part)
    return fields


async def _file(part: UploadFile | str, limits: BodyLimits) -> bytes:
    """The bytes of an image; none of a form that was sent with no file chosen."""
    if isinstance(part, str):
        return part.encode("latin-1")
    if 0 < limits.file_bytes < (part.size or 0):
        raise ImageTooLarge(f"An image may have {limits.file_bytes} bytes.")
    data = await part.read()
    await part.close()
    return data


def _text(name: str, part: str) -> str:
    try:
        return part.encode("latin-1").decode()
    except UnicodeDecodeError as exc:
        raise MalformedBody(f"The field '{name[:64]}' is not valid UTF-8.") from exc


async def _chunks(
    request: Request, limits: BodyLimits, memory: MemoryReservation
) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, counted.

    Raises:
        EncodingUnsupported: It is compressed.
        ImageTooLarge: It is larger than allowed, also when its Content-Length says so.
        UploadTimeout: It arrives too slowly.
        Overloaded: Other uploads leave no memory for it.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise EncodingUnsupported("Send the body uncompressed, without Content-Encoding.")
    declared = request.headers.get("content-length", "")
    _check_size(int(declared) if declared.isascii() and declared.isdigit() else 0, limits)
    loop, chunks, n_bytes = asyncio.get_running_loop(), request.stream(), 0
    ends_at = loop.time() + (limits.total_s or FOREVER_S)
    while True:
        idle_at = loop.time() + (limits.idle_s or FOREVER_S)
        try:
            async with asyncio.timeout_at(min(ends_at, idle_at)):
                chunk = await anext(chunks, None)
        except TimeoutError as exc:
            raise UploadTimeout(
                f"The body must arrive within {limits.total_s:g} s, "
                f"with no pause of {limits.idle_s:g} s."
            ) from exc
        if chunk is None:
            return
        n_bytes += len(chunk)
        _check_size(n_bytes, limits)
        memory.grow(len(chunk))
        yield chunk


def _check_size(n_bytes: int, limits: BodyLimits) -> None:
    if 0 < limits.body_bytes < n_bytes:
        raise ImageTooLarge(f"A request's body may have {limits.body_bytes} bytes.")


def validated(model: type[Model], fields: Any, *, strict: bool) -> Model:
    """Make a model of fields.

    Raises:
        InvalidRequest: It names each field that is refused.
    """
    try:
        return model.model_validate(fields, strict=strict)
    except ValidationError as exc:
        raise invalid_fields(exc) from exc
