"""From an uploaded file, or an image's URL, to what goes upstream.

Small plain JPEGs and PNGs pass with their metadata cut out; a worker process decodes all others.
"""

import asyncio
import hashlib
import logging
import re
import string
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import quote

import pybase64

from app import errors
from app.images.formats import check_boxes, sniff, strip_jpeg, strip_png
from app.images.memory import MemoryBudget
from app.images.messages import MAX_FILE_BYTES, SIZE, Code, size_problem
from app.images.pool import Pool
from app.models import ImageInput
from app.settings import Settings
from app.telemetry import Metrics

WALK = {"JPEG": strip_jpeg, "PNG": strip_png, "HEIC": check_boxes, "AVIF": check_boxes}

DATA_URL = re.compile(r"\s*data:[^,]{0,1024}?;\s*base64\s*,", re.IGNORECASE)
PASSED_OVER = b"= \t\n\f\r"  # Blanks, and the padding, which follows from the length.
# To unescape anything but what base64 needs would take a hundred bytes for each.
ESCAPES = {b"%2B": b"+", b"%2F": b"/", b"%3D": b"", b"%0A": b"", b"%0D": b"", b"%20": b""}
STEP_CHARS = 1 << 20

MAX_CHARS, MAX_HOST_CHARS = 4_096, 253  # RFC 1035 §2.3.4, written with dots.
DEFAULT_PORTS = {"http": "80", "https": "443"}
PRIVATE_SUFFIXES = (".local", ".internal", ".localhost", ".home.arpa")
DEVIATIONS = frozenset("\u00df\u03c2")  # Only Python's IDNA 2003 maps them (UTS 46 §4).
KEPT = "!$%&'()*+,-./:;=?@[]_|~"  # In path and query; browsers percent-encode the rest.
NO_SCHEME = """The image URL must begin with http:// or https://; base64 needs \
"data:image/jpeg;base64," in front, and a file on a device is uploaded."""
IP_ADDRESS = "names an IP address; a host name is needed"
BLANKS = string.whitespace + "\u00a0\u3000\ufeff\u200b"
UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")
ADDRESS = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?", re.IGNORECASE)
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # As a last label: an IPv4 address (WHATWG URL §3.5).

logger = logging.getLogger(__name__)


class ImageIntake:
    """Prepares images. Whoever receives bodies draws on `memory` too."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._seconds = settings, metrics.image_s
        self.memory = MemoryBudget(settings.image_inflight_max_bytes)
        self._thread = asyncio.Lock()  # One at a time: several keep the event loop waiting.
        self._pool = Pool(settings, metrics.image_workers_busy)
        self.start, self.close = self._pool.start, self._pool.close

    async def prepare_url(self, url: str, *, caller: str) -> ImageInput:
        """Prepare an image named in a field: a `data:` URL like a file, an address is checked."""
        if url.lstrip()[:5].lower() != "data:":
            return check_image_url(url)
        with self.memory.hold(caller=caller) as reservation:
            reservation.grow(len(url) * 3 // 4)
            most = self._settings.image_max_bytes
            async with self._thread:
                body = await asyncio.to_thread(_decode_data_url, url, most)
            return await self.prepare(body, caller=caller)

    async def prepare(self, body: bytes, *, caller: str) -> ImageInput:
        """Make a file fit to send; raises an `Image…` error, `Overloaded` or `Draining`."""
        file = memoryview(body)
        if not file:
            raise errors.ImageMissing("The image is empty: it has no bytes.")
        with self._seconds.time(), self.memory.hold(caller=caller) as reservation:
            async with self._thread:
                kind, digest, parts = await asyncio.to_thread(self._examine, file)
            if parts:
                reservation.grow(len(file) * 7 // 3)  # The parts joined, and the URL.
                async with self._thread:
                    return ImageInput(await asyncio.to_thread(_data_url, kind, parts), digest)
            code, content = await self._pool.decode(file, caller)
        if code is Code.PREPARED:
            return ImageInput(_data_url("JPEG", [content]), digest)
        if code is Code.SIZE_REFUSED:
            most = self._settings.image_max_pixels
            size = SIZE.unpack(content) if len(content) == SIZE.size else None
            problem = size and size_problem(size[0], size[1], most)
            raise errors.ImageDimensions(problem or f"At most {most} pixels are accepted.")
        fields = {"kind": kind, "reason": content[:40].decode(errors="replace")}
        logger.info("image refused by its decoder", extra={"fields": fields})
        raise errors.ImageUnreadable(f"This {kind} file is cut off, damaged or too large.")

    def _examine(self, file: memoryview) -> tuple[str, str, list[memoryview]]:
        kind = sniff(file)
        size, parts = WALK[kind](file) if kind in WALK else (None, [])
        if size and (problem := size_problem(*size, self._settings.image_max_pixels)):
            raise errors.ImageDimensions(problem)
        large = size and 0 < self._settings.image_max_side < max(size)
        fits = not large and sum(map(len, parts)) <= MAX_FILE_BYTES
        return kind, hashlib.sha256(file).hexdigest(), parts if fits else []


def check_image_url(url: str) -> ImageInput:
    """The address with an ASCII host, no default port, no fragment; or raise `ImageUrlInvalid`.

    The upstream fetches it from its own network, and is not to be used as a scanner.
    """
    url = url.strip(BLANKS)
    _refuse("\\" in url[:MAX_CHARS], "contains a backslash")
    if not (parts := ADDRESS.match(url[:MAX_CHARS])):
        raise errors.ImageUrlInvalid(NO_SCHEME)
    _refuse(len(url) > MAX_CHARS, f"is longer than {MAX_CHARS} characters")
    _refuse(UNSAFE.search(url), "contains spaces or control characters")
    _refuse("@" in parts[2], "contains a user name or password")
    host, _, port = parts[2].partition(":")
    _refuse("[" in host or ":" in port, IP_ADDRESS)
    _refuse(port not in ("", "80", "443"), "names a port other than 80 and 443")
    if not host.isascii():
        _refuse(not host.isprintable(), "has an invisible character in its host name")
        known = len(host) <= MAX_HOST_CHARS and DEVIATIONS.isdisjoint(host)
        with suppress(UnicodeError):
            host = host.encode("idna").decode("ascii") if known else host
        _refuse(not host.isascii(), "must have its host name in punycode (xn--...)")
    scheme, host = parts[1].lower(), host.lower()
    _refuse(NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]), IP_ADDRESS)
    is_name = len(host) <= MAX_HOST_CHARS and all(map(LABEL.fullmatch, host.split(".")))
    _refuse(not is_name, "has a host name that is not a valid name")
    _refuse("." not in host, "needs a full host name, with a dot in it")
    _refuse(f".{host}".endswith(PRIVATE_SUFFIXES), "names a host of a private network")
    authority = host if port in ("", DEFAULT_PORTS[scheme]) else f"{host}:{port}"
    path, query = (quote(part or "", safe=KEPT) for part in parts.groups()[2:])
    normal = f"{scheme}://{authority}{path or '/'}{query}".encode("ascii")
    return ImageInput(normal, hashlib.sha256(normal).hexdigest())


def _refuse(broken: object, rule: str) -> None:
    if broken:
        raise errors.ImageUrlInvalid(f"The image URL {rule}; upload the picture instead.")


def _decode_data_url(url: str, max_bytes: int) -> bytes:
    """The file in it, read in steps, since the event loop waits for each call on a text."""
    head = DATA_URL.match(url)
    if not head:
        raise errors.ImageUrlInvalid("The image's data: URL must be data:<type>;base64,<base64>.")
    text, start = bytearray(), head.end()
    while start < len(url):
        end = start + STEP_CHARS
        cut = url.find("%", end - 2, end)  # An escape goes on in the next step.
        end = cut if cut > 0 else end
        piece = url[start:end].encode("ascii", "replace")
        escapes = ESCAPES.items() if b"%" in piece else ()
        for escape, plain in escapes:
            piece = piece.replace(escape, plain).replace(escape.lower(), plain)
        text += piece.translate(None, PASSED_OVER)
        start = end
        if 0 < max_bytes < len(text) * 3 // 4:
            raise errors.ImageTooLarge(f"An image may have {max_bytes} bytes.")
    text += b"=" * (-len(text) % 4)
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError as exc:
        raise errors.ImageUnreadable("The image's data: URL does not hold valid base64.") from exc


def _data_url(kind: str, parts: Sequence[bytes | memoryview]) -> bytes:
    return f"data:image/{kind.lower()};base64,".encode() + pybase64.b64encode(b"".join(parts))
