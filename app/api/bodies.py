"""A request's body, read within bounds of size, time and memory, and validated."""

import asyncio
import sys
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator
from io import BytesIO
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from app import errors
from app.api.json_bounds import MEMBERS_MAX, TEXT_MAX_BYTES, JsonBounds
from app.api.problems import invalid_fields
from app.api.service import Service
from app.errors import ImageTooLarge, InvalidRequest, MalformedBody
from app.images.memory import MemoryReservation
from app.settings import Settings

Model = TypeVar("Model", bound=BaseModel)

JSON, MULTIPART = "application/json", "multipart/form-data"
FOREVER_S = 31_536_000
STEP_BYTES = 1 << 20  # Copied in less than a millisecond.
PARTS_MAX = 512
"""Most files, and most fields, that are parsed; how many are allowed is checked later."""


class JsonBody(NamedTuple):
    """An object, and the text that it was read from, unless parts of that were kept apart."""

    found: dict[str, Any]
    text: bytes | None


def media_type_of(request: Request) -> str:
    """The body's media type, without parameters; empty if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(
    request: Request,
    memory: MemoryReservation,
    *,
    max_bytes: int | None = None,
    max_members: int = MEMBERS_MAX,
) -> JsonBody:
    """Read a JSON object of `max_bytes` at most, or as the settings say.

    A name that stands twice in an object is refused: two readers may take either value.
    """
    if media_type_of(request) != JSON:
        raise MalformedBody(f"The Content-Type must be {JSON}.")
    bounds = JsonBounds(max_members, image_max_bytes=_settings(request).image_max_bytes)
    pieces, n_bytes = list[bytes](), 0
    async for chunk in _chunks(request, memory, max_bytes):
        n_bytes += len(chunk)
        pieces.append(bounds.feed(chunk))
    text = b"".join(pieces).removeprefix(BOM_UTF8)
    memory.grow(n_bytes)  # What is made of it takes as much again.
    try:
        found = from_json(text, allow_inf_nan=False)
    except ValueError as exc:
        raise MalformedBody("The body is not valid JSON.") from exc
    if not isinstance(found, dict):
        raise MalformedBody("The JSON body must be an object.")
    if _pairs(found) != bounds.pairs:
        raise MalformedBody("A name stands twice in an object of the JSON body.")
    for _ in bounds.put_back(found):
        await asyncio.sleep(0)
    return JsonBody(found, None if bounds.kept_apart else text)


def _pairs(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_pairs, value.values()))
    return sum(map(_pairs, value)) if isinstance(value, list) else 0


async def read_form(request: Request, memory: MemoryReservation) -> dict[str, Any]:
    """Read a multipart body: fields as text, and the files of `image` as bytes, all in memory."""
    file_max_bytes = _settings(request).image_max_bytes or sys.maxsize

    async def stream() -> AsyncGenerator[bytes, None]:
        _, parameters = parse_options_header(request.headers["content-type"])
        chunks = _chunks(request, memory)
        async for chunk in _without_preamble(chunks, parameters.get(b"boundary", b"")):
            yield chunk
        if not parser.complete:
            raise MultiPartException("The body ends before its closing boundary.")

    # As Latin-1 each byte of a text part comes back unchanged: a file without a filename is one.
    parser = Form(
        Headers({"content-type": request.headers["content-type"] + "; charset=latin-1"}),
        stream(),
        max_files=PARTS_MAX,
        max_fields=PARTS_MAX,
        max_part_size=file_max_bytes,
    )
    try:
        form = await parser.parse()
    except MultiPartException as exc:
        raise MalformedBody("The body is not valid, complete multipart/form-data.") from exc
    service: Service = request.app.state.service
    async with service.copying:  # So only one form at a time is in memory twice.
        try:
            return await _fields(form.multi_items(), file_max_bytes)
        finally:
            await form.close()


async def _without_preamble(
    chunks: AsyncGenerator[bytes, None], boundary: bytes
) -> AsyncGenerator[bytes, None]:
    """A multipart body from its first boundary on: the parser refuses what RFC 2046 §5.1.1 allows.

    What stands before is dropped as it comes, but for the part of a boundary at its end.
    """
    start, before = b"\r\n--" + boundary, b"\r\n"
    async for chunk in chunks:
        before += chunk
        if (at := before.find(start)) >= 0:
            yield before[at + 2 :]
            break
        before = before[-len(start) :]
    async for chunk in chunks:
        yield chunk


class Form(MultiPartParser):
    """Starlette's parser, which loses the last part of a body without its closing boundary."""

    spool_max_size = 0
    """Never on disk (`tempfile.SpooledTemporaryFile`)."""
    complete = False

    def on_end(self) -> None:
        """Note that the closing boundary was there."""
        self.complete = True


async def _fields(parts: list[tuple[str, UploadFile | str]], file_max_bytes: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for latin_1_name, part in parts:
        await asyncio.sleep(0)  # Each part may take as long as a picture's bytes.
        name = latin_1_name.encode("latin-1").decode(errors="replace")
        if name != "image_url" and isinstance(part, str) and len(part) > TEXT_MAX_BYTES:
            raise InvalidRequest.of(name, f"At most {TEXT_MAX_BYTES} bytes.")
        data = await _content(part) if isinstance(part, UploadFile) else part.encode("latin-1")
        if name == "image":
            if len(data) > file_max_bytes:
                raise ImageTooLarge(f"An image may have {file_max_bytes} bytes.")
            if data:  # There are none if a form was sent with no file chosen.
                fields.setdefault(name, []).append(data)
        elif isinstance(part, UploadFile):
            raise InvalidRequest.of(name, "Must be text; files belong into the field 'image'.")
        elif name == "image_url":
            fields.setdefault(name, []).append(_text(name, data))
        elif name in fields:
            raise InvalidRequest.of(name, "Was given more than once.")
        else:
            fields[name] = _text(name, data)
    return fields


async def _content(part: UploadFile) -> bytes:
    """The file in one piece, copied in steps, between which the event loop does other work."""
    buffer = BytesIO()
    while piece := await part.read(STEP_BYTES):
        buffer.write(piece)
        await asyncio.sleep(0)
    return buffer.getvalue()


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise MalformedBody(f"The field '{name[:64]}' is not valid UTF-8.") from exc


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _chunks(
    request: Request, memory: MemoryReservation, max_bytes: int | None = None
) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, counted, until the service begins to shut down."""
    service: Service = request.app.state.service
    settings, headers = _settings(request), request.headers
    most = max_bytes or settings.body_max_bytes or sys.maxsize
    if headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise errors.EncodingUnsupported("Send the body uncompressed, without Content-Encoding.")
    declared = headers.get("content-length", "")
    _check_size(int(declared) if declared.isdecimal() else 0, most)
    loop, chunks, n_bytes = asyncio.get_running_loop(), request.stream(), 0
    ends_at = loop.time() + (settings.upload_timeout_s or FOREVER_S)
    while not service.is_draining():
        idle_at = loop.time() + (settings.upload_idle_timeout_s or FOREVER_S)
        try:
            async with asyncio.timeout_at(min(ends_at, idle_at)) as waiting:
                service.uploads.add(waiting)
                chunk = await anext(chunks, None)
        except TimeoutError as exc:
            if service.is_draining():
                break
            raise errors.UploadTimeout(
                f"The body must arrive within {settings.upload_timeout_s:g} s, "
                f"with no pause of {settings.upload_idle_timeout_s:g} s."
            ) from exc
        finally:
            service.uploads.discard(waiting)
        if chunk is None:
            return
        n_bytes += len(chunk)
        _check_size(n_bytes, most)
        try:
            memory.grow(len(chunk))
        except errors.Overloaded:
            memory.release()  # At once: others grow in this same turn of the loop.
            raise
        yield chunk
    raise errors.Draining


def _check_size(n_bytes: int, most: int) -> None:
    if n_bytes > most:
        raise ImageTooLarge(f"A request's body may have {most} bytes.")


def validated(model: type[Model], fields: Any, *, strict: bool) -> Model:
    """Make a model of fields, or raise `InvalidRequest`, which names each one that is refused."""
    try:
        return model.model_validate(fields, strict=strict)
    except ValidationError as exc:
        raise invalid_fields(exc) from exc
