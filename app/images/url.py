"""Which addresses of images are passed on: checked as written, never resolved or fetched.

The upstream fetches them from its own network; the policy keeps it from being used as a scanner.
"""

import hashlib
import re
import string
from urllib.parse import quote

from app.errors import ImageUrlInvalid
from app.models import ImageInput

MAX_CHARS = 4096
MAX_HOST_CHARS = 253
"""RFC 1035 §2.3.4, written with dots."""

DEFAULT_PORTS = {"http": "80", "https": "443"}
PRIVATE_SUFFIXES = (".local", ".internal", ".localhost", ".home.arpa")

DEVIATIONS = frozenset("\u00df\u03c2")
"""Browsers keep these where the standard library's IDNA 2003 maps them to another name
(UTS 46 §4)."""

KEPT = "!$%&'()*+,-./:;=?@[]_|~"
"""What stands in path and query as it is; the rest is percent-encoded as browsers do."""

BLANKS = string.whitespace + "\u00a0\u3000\ufeff\u200b"
"""What a paste brings along; cut off at both ends."""

_UNSAFE = re.compile("[\\x00-\\x20\\x7f-\\x9f\\ud800-\\udfff]")
_PARTS = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?", re.IGNORECASE)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A name whose last label is one is an IPv4 address to every browser (WHATWG URL §3.5)."""


def check_url(url: str) -> ImageInput:
    """An `http(s)` URL in its normal form: lower-case ASCII host, no default port, no fragment.

    Raises:
        ImageUrlInvalid: With the one rule that it breaks; the URL itself is not repeated.
    """
    url = url.strip(BLANKS)
    if len(url) > MAX_CHARS:
        raise ImageUrlInvalid(f"The image URL is longer than {MAX_CHARS} characters.")
    if _UNSAFE.search(url):
        raise ImageUrlInvalid("The image URL contains spaces or control characters.")
    if "\\" in url:
        raise ImageUrlInvalid("The image URL contains a backslash.")
    parts = _PARTS.match(url)
    if not parts:
        raise ImageUrlInvalid("The image URL must begin with http://, https:// or data:image/.")
    scheme = parts[1].lower()
    authority = _authority(scheme, parts[2])
    path = quote(parts[3] or "/", safe=KEPT)
    query = quote(parts[4] or "", safe=KEPT)
    normal = f"{scheme}://{authority}{path}{query}".encode("ascii")
    return ImageInput(normal, hashlib.sha256(normal).hexdigest())


def _authority(scheme: str, written: str) -> str:
    if "@" in written:
        raise ImageUrlInvalid("The image URL contains a user name or password.")
    if "[" in written or "]" in written or written.count(":") > 1:
        raise _ip_literal()
    host, _, port = written.partition(":")
    if port not in ("", "80", "443"):
        raise ImageUrlInvalid("The image URL names a port other than 80 and 443.")
    host = _host(host)
    return host if port in ("", DEFAULT_PORTS[scheme]) else f"{host}:{port}"


def _host(written: str) -> str:
    if not written:
        raise ImageUrlInvalid("The image URL has no host name.")
    host = _ascii(written).lower()
    labels = host.split(".")
    if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        raise _ip_literal()
    if host.endswith("."):
        raise ImageUrlInvalid("The image URL's host name ends with a dot.")
    if len(host) > MAX_HOST_CHARS or not all(map(_LABEL.fullmatch, labels)):
        raise ImageUrlInvalid("The image URL's host name is not a valid name.")
    if len(labels) == 1:
        raise ImageUrlInvalid("The image URL's host name must be a full one, with a dot in it.")
    if f".{host}".endswith(PRIVATE_SUFFIXES):
        raise ImageUrlInvalid("The image URL's host name belongs to a private network.")
    return host


def _ascii(host: str) -> str:
    """The host in punycode, where it can be told for sure what a browser would make of it."""
    if host.isascii():
        return host
    for character in host:
        if character.isspace() or not character.isprintable():
            raise ImageUrlInvalid(
                f"The image URL's host name contains an invisible character, U+{ord(character):04X}."
            )
    refusal = ImageUrlInvalid("The image URL's host name must be given in punycode (xn--...).")
    if len(host) > MAX_HOST_CHARS or not DEVIATIONS.isdisjoint(host):
        raise refusal
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as exc:
        raise refusal from exc


def _ip_literal() -> ImageUrlInvalid:
    return ImageUrlInvalid("The image URL names an IP address; a host name is needed.")
