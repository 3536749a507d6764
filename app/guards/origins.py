"""Which pages may search: `CORS_ORIGINS`, read and compared as browsers write origins."""

import re
from collections.abc import Iterable

ANY = "*"
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.\-\[\]:_]+", re.ASCII)
"""Of any scheme: the pages of app shells have such as `capacitor://localhost`. Never `null`."""

DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Origins:
    """The origins whose pages may search, without those that hold a token of their own."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(allowed)

    @property
    def any(self) -> bool:
        """Whether every page may."""
        return ANY in self._allowed

    def allow(self, origin: str) -> bool:
        """Whether the pages of this origin may."""
        return self.any or normal_origin(origin) in self._allowed


def parse_origins(words: Iterable[str]) -> Origins:
    """Read `CORS_ORIGINS`; a slash at an origin's end is forgiven, a path is not.

    Raises:
        ValueError: With one sentence that says what is expected.
    """
    allowed = [word if word == ANY else normal_origin(word.removesuffix("/")) for word in words]
    if any(origin != ANY and not ORIGIN.fullmatch(origin) for origin in allowed):
        raise ValueError("CORS_ORIGINS: must be such as https://app.example, without a path, or *")
    return Origins(allowed)


def normal_origin(origin: str) -> str:
    """As browsers write it: lower case, no default port (WHATWG HTML, "ASCII serialization")."""
    lower = origin.lower()
    return lower.removesuffix(DEFAULT_PORTS.get(lower.partition(":")[0], "\n"))
