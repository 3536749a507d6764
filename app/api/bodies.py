"""A request's body, read within bounds of size, time and memory, and validated."""

import asyncio
import re
import secrets
import sys
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator
from io import BytesIO
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from app import errors
from app.api.dependencies import Call
from app.api.problems import JSON, invalid_fields
from app.errors import ImageTooLarge, ImageUnreadable, InvalidRequest, MalformedBody
from app.images.memory import MemoryReservation
from app.settings import YEAR_S
from app.upstream.lenient import Json

Model = TypeVar("Model", bound=BaseModel)

MULTIPART = "multipart/form-data"
PARTS_MAX = 512  # Files, and fields, that are parsed; how many are allowed is checked later.
TEXT_MAX_BYTES = 1_048_576
"""All text beside `data:` URLs. Escapes count wherever they stand: they are slow to parse."""
TOO_MUCH_TEXT = f"A body may have {TEXT_MAX_BYTES} bytes of text beside its images."
MEMBERS_MAX = 10_000
DEPTH_MAX = 64

STRING = re.compile(rb'"[^"]*"')
DATA_URL = re.compile(rb'"\s*data:[^"]*', re.IGNORECASE)
UNFINISHED = re.compile(
    rb'("[^"]{0,31}|\\u[dD][89abAB]..|(\\u[dD][89abAB]..)?\\(u[0-9a-fA-F]{0,3})?'
    rb"|[\xc0-\xff][\x80-\xbf]{0,3})\Z"
)
"""A string too short to tell what it is, an escape or two, a character: of 32 bytes at most."""


def media_type_of(request: Request) -> str:
    """The body's media type, without parameters; empty if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(
    call: Call, memory: MemoryReservation, *, max_bytes: int = 0, max_members: int = MEMBERS_MAX
) -> Json:
    """Read a JSON object of `max_bytes` at most, or as the settings say."""
    if media_type_of(call.request) != JSON:
        raise MalformedBody(f"The Content-Type must be {JSON}.")
    bounds = JsonBounds(max_members)
    pieces = [bounds.feed(chunk) async for chunk in _chunks(call, memory, max_bytes)]
    text = b"".join([*pieces, bounds.unfinished]).removeprefix(BOM_UTF8)
    memory.grow(bounds.n_bytes)  # What is made of it takes as much again.
    try:
        found = from_json(text, allow_inf_nan=False)
    except ValueError as exc:
        raise MalformedBody("The body is not valid JSON.") from exc
    if not isinstance(found, dict):
        raise MalformedBody("The JSON body must be an object.")
    await bounds.put_back(found)
    return found


class JsonBounds:
    """Counts a JSON text chunk by chunk, so that too much is refused before it is parsed.

    A parser makes objects of 100 bytes and more out of each member: 56 MB of `[],` would take
    gigabytes, and hold the event loop for seconds. 60 MB of images alone would hold it longer than
    others should wait, so a `data:` URL that goes on in later chunks is kept apart.
    """

    def __init__(self, max_members: int) -> None:
        self._max_members = max_members
        self.n_bytes = self._text_bytes = self._members = self._depth = 0
        self.unfinished = b""  # Comes before the next chunk; at the end it is the text's last part.
        self._inside = b""  # Stands for the start of a string that goes on and is no `data:` URL.
        self._apart: dict[str, list[str]] = {}  # Long URLs in parts, by the marks in their places.
        self._open: list[str] | None = None  # Parts of the URL that goes on in the next chunk.

    def feed(self, chunk: bytes) -> bytes:
        """Count a chunk, and return the text to parse; `CallerError` if there is too much of it."""
        self.n_bytes += len(chunk)
        text = plain = self.unfinished + chunk
        if b"\\" in text:
            plain = text.replace(rb"\\", b"..").replace(rb"\"", b"..")
        unfinished = UNFINISHED.search(plain, max(0, len(plain) - 32))
        end = unfinished.start() if unfinished else len(text)
        text, plain, self.unfinished = text[:end], plain[:end], text[end:]
        # Escapes are as slow as text, those of a URL too.
        self._text_bytes += text.count(b"\\") + text.count(b"%")
        if self._open is not None:
            part, quote, plain = plain.partition(b'"')
            self._open.append(_parse(text[: len(part)]))
            text = text[len(part) :]
            self._open = None if quote else self._open
        plain = self._inside + plain
        self._text_bytes += len(text) - sum(map(len, DATA_URL.findall(plain)))
        structure, quote, start = STRING.sub(b"", plain).partition(b'"')
        self._count(structure)
        self._inside = quote and b'".'
        if DATA_URL.match(quote + start):  # So `start` is not empty.
            mark = secrets.token_hex()
            self._open = self._apart[mark] = [_parse(text[-len(start) :])]
            text, self._inside = text[: -len(start)] + mark.encode(), b""
        return text

    async def put_back(self, found: Any) -> None:
        """Put what was kept apart into what was parsed, one at a time: each takes milliseconds."""
        if not self._apart:
            return
        for place, value in found.items() if isinstance(found, dict) else enumerate(found):
            if place in self._apart:
                raise InvalidRequest("A name in the JSON body is too long.")
            if isinstance(value, dict | list):
                await self.put_back(value)
            elif isinstance(value, str) and value in self._apart:
                found[place] = "".join(self._apart.pop(value))
                await asyncio.sleep(0)

    def _count(self, structure: bytes) -> None:
        if self._text_bytes > TEXT_MAX_BYTES:
            raise ImageTooLarge(TOO_MUCH_TEXT)
        self._members += sum(map(structure.count, (b",", b"[", b"{")))
        if self._members > self._max_members:
            raise InvalidRequest(f"A JSON body may have {self._max_members} members.")
        for bracket in re.findall(rb"[\[\]{}]", structure):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > DEPTH_MAX:
                raise InvalidRequest(f"A JSON body may have {DEPTH_MAX} levels.")


async def read_form(call: Call, memory: MemoryReservation) -> Json:
    """Read a multipart body: fields as text, and the files of `image` as bytes, all in memory."""
    file_max_bytes = call.service.settings.image_max_bytes or sys.maxsize
    # As Latin-1 each byte of a text part comes back unchanged: a file without a filename is one.
    parser = Form(
        Headers({"content-type": f"{call.request.headers['content-type']}; charset=latin-1"}),
        _chunks(call, memory),
        max_files=PARTS_MAX,
        max_fields=PARTS_MAX,
        max_part_size=file_max_bytes,
    )
    try:
        form = await parser.parse()
    except MultiPartException as exc:
        raise MalformedBody("The body is not valid multipart/form-data.") from exc
    async with call.service.copying:  # So only one form at a time is in memory twice.
        try:
            if not parser.complete:
                raise MalformedBody("The multipart body ends before its closing boundary.")
            return await _fields(form.multi_items(), file_max_bytes)
        finally:
            await form.close()


class Form(MultiPartParser):
    """Starlette's parser, which loses the last part of a body without its closing boundary."""

    spool_max_size = 0  # Never on disk (`tempfile.SpooledTemporaryFile`).
    complete = False

    def on_end(self) -> None:
        self.complete = True


async def _fields(parts: list[tuple[str, UploadFile | str]], file_max_bytes: int) -> Json:
    fields: Json = {"image": [], "image_url": []}
    for latin_1_name, part in parts:
        await asyncio.sleep(0)  # Each part may take as long as a picture's bytes.
        name = latin_1_name.encode("latin-1").decode(errors="replace")
        if name != "image" and isinstance(part, UploadFile):
            raise InvalidRequest.of(name, "Must be text; files belong into the field 'image'.")
        n_bytes = part.size or 0 if isinstance(part, UploadFile) else len(part)
        most = {"image": file_max_bytes, "image_url": sys.maxsize}.get(name, TEXT_MAX_BYTES)
        if n_bytes > most:
            raise ImageTooLarge(f"The field '{name[:64]}' may have at most {most} bytes.")
        data = BytesIO()
        if isinstance(part, str):
            data.write(part.encode("latin-1"))
        else:
            while piece := await part.read(1 << 20):
                data.write(piece)
                await asyncio.sleep(0)  # A copy of all at once would keep others waiting.
        try:
            value = data.getvalue() if name == "image" else data.getvalue().decode()
        except UnicodeDecodeError as exc:
            raise MalformedBody(f"The field '{name[:64]}' is not valid UTF-8.") from exc
        if name in ("image", "image_url"):
            fields[name] += [value] if value else []  # A form may be sent with no file chosen.
        elif name in fields:
            raise InvalidRequest.of(name, "Was given more than once.")
        else:
            fields[name] = value
    return fields


def _parse(part: bytes) -> str:
    try:
        return str(from_json(b'"%b"' % part))
    except ValueError as exc:
        raise ImageUnreadable("The image's data: URL does not hold valid base64.") from exc


async def _chunks(
    call: Call, memory: MemoryReservation, max_bytes: int = 0
) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, counted, until the service begins to shut down."""
    service, settings, headers = call.service, call.service.settings, call.request.headers
    most_s, idle_s = settings.upload_timeout_s, settings.upload_idle_timeout_s
    most = max_bytes or settings.body_max_bytes or sys.maxsize
    if headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise errors.EncodingUnsupported("Send the body uncompressed, without Content-Encoding.")
    loop, chunks, n_bytes = asyncio.get_running_loop(), call.request.stream(), 0
    ends_at = loop.time() + (most_s or YEAR_S)
    while not service.is_draining():
        if max(n_bytes, int(headers.get("content-length", 0))) > most:
            raise ImageTooLarge(f"A request's body may have {most} bytes.")
        idle_at = loop.time() + (idle_s or YEAR_S)
        try:
            async with asyncio.timeout_at(min(ends_at, idle_at)) as waiting:
                service.uploads.add(waiting)
                chunk = await anext(chunks, None)
        except TimeoutError as exc:
            if service.is_draining():
                break
            rule = f"must arrive within {most_s:g} s, with no pause of {idle_s:g} s"
            raise errors.UploadTimeout(f"The body {rule}.") from exc
        finally:
            service.uploads.discard(waiting)
        if chunk is None:
            return
        n_bytes += len(chunk)
        memory.grow(len(chunk))
        yield chunk
    raise errors.Draining


def validated(model: type[Model], fields: Any) -> Model:
    """Make a model of fields, or raise `InvalidRequest`, which names each one that is refused."""
    try:
        return model.model_validate(fields)
    except ValidationError as exc:
        raise invalid_fields(exc) from exc
