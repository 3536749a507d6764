"""Which image addresses are passed on: checked as written, never resolved or fetched.

The upstream fetches them from its own network; the policy keeps it from being used as a scanner.
"""

import hashlib
import re
import string
from contextlib import suppress
from urllib.parse import quote

from app.errors import ImageUrlInvalid
from app.models import ImageInput

MAX_CHARS, MAX_HOST_CHARS = 4_096, 253  # RFC 1035 §2.3.4, written with dots.
DEFAULT_PORTS = {"http": "80", "https": "443"}
PRIVATE_SUFFIXES = (".local", ".internal", ".localhost", ".home.arpa")
DEVIATIONS = frozenset("\u00df\u03c2")  # Only Python's IDNA 2003 maps them (UTS 46 §4).
KEPT = "!$%&'()*+,-./:;=?@[]_|~"  # In path and query; browsers percent-encode the rest.
NO_SCHEME = """The image URL must begin with http:// or https://; base64 needs \
"data:image/jpeg;base64," in front, and a file on a device is uploaded."""
IP_ADDRESS = "names an IP address; a host name is needed"
BLANKS = string.whitespace + "\u00a0\u3000\ufeff\u200b"

_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")
_PARTS = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?", re.IGNORECASE)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # As a last label: an IPv4 address (WHATWG URL §3.5).


def check_url(url: str) -> ImageInput:
    """The URL with an ASCII host, no default port, no fragment; or raise `ImageUrlInvalid`."""
    url = url.strip(BLANKS)
    _refuse("\\" in url[:MAX_CHARS], "contains a backslash")
    if not (parts := _PARTS.match(url[:MAX_CHARS])):
        raise ImageUrlInvalid(NO_SCHEME)
    _refuse(len(url) > MAX_CHARS, f"is longer than {MAX_CHARS} characters")
    _refuse(_UNSAFE.search(url), "contains spaces or control characters")
    scheme = parts[1].lower()
    path, query = (quote(part or "", safe=KEPT) for part in parts.groups()[2:])
    normal = f"{scheme}://{_authority(scheme, parts[2])}{path or '/'}{query}".encode("ascii")
    return ImageInput(normal, hashlib.sha256(normal).hexdigest())


def _authority(scheme: str, written: str) -> str:
    _refuse("@" in written, "contains a user name or password")
    host, _, port = written.partition(":")
    _refuse("[" in written or "]" in written or ":" in port, IP_ADDRESS)
    _refuse(port not in ("", "80", "443"), "names a port other than 80 and 443")
    if not host.isascii():
        _refuse(not host.isprintable(), "has an invisible character in its host name")
        known = len(host) <= MAX_HOST_CHARS and DEVIATIONS.isdisjoint(host)
        with suppress(UnicodeError):
            host = host.encode("idna").decode("ascii") if known else host
        _refuse(not host.isascii(), "must have its host name in punycode (xn--...)")
    host = host.lower()
    _refuse(_NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]), IP_ADDRESS)
    is_name = len(host) <= MAX_HOST_CHARS and all(map(_LABEL.fullmatch, host.split(".")))
    _refuse(not is_name, "has a host name that is not a valid name")
    _refuse("." not in host, "needs a full host name, with a dot in it")
    _refuse(f".{host}".endswith(PRIVATE_SUFFIXES), "names a host of a private network")
    return host if port in ("", DEFAULT_PORTS[scheme]) else f"{host}:{port}"


def _refuse(broken: object, rule: str) -> None:
    if broken:
        raise ImageUrlInvalid(f"The image URL {rule}; upload the picture instead.")
