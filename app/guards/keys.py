"""Client keys: what `CLIENT_KEYS` gives, kept as salted hashes and compared in constant time."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable

from app.guards.identity import ANONYMOUS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY = re.compile(r"[!-~]{1,512}")
"""What fits an Authorization field: visible ASCII (RFC 9110 §5.5)."""


def parse_client_keys(text: str) -> "ClientKeys":
    """Read `CLIENT_KEYS`, `name:key,name:key`. A name may have several keys, to change them.

    Raises:
        ValueError: With one sentence that holds no key.
    """
    pairs = [_pair(part.strip(), at) for at, part in enumerate(text.split(","), 1) if part.strip()]
    owners: dict[str, str] = {}
    for name, key in pairs:
        if owners.setdefault(key, name) != name:
            raise ValueError(f"CLIENT_KEYS: {owners[key]} and {name} must not share a key")
    return ClientKeys(pairs)


def _pair(part: str, at: int) -> tuple[str, str]:
    name, _, key = part.partition(":")
    if not (NAME.fullmatch(name) and KEY.fullmatch(key)):
        raise ValueError(f"CLIENT_KEYS: entry {at} must be name:key, the name of A-Z a-z 0-9 . _ -")
    if name == ANONYMOUS:
        raise ValueError(f"CLIENT_KEYS: {ANONYMOUS} is the name of callers without a key")
    return name, key


class ClientKeys:
    """Keys and their owners. Only digests are kept, under a salt that ends with the process."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._salt = secrets.token_bytes(32)
        self._owners = [(self._digest(key), name) for name, key in pairs]

    @property
    def any(self) -> bool:
        """Whether there is a key at all."""
        return bool(self._owners)

    def find(self, key: str) -> str | None:
        """Name of the client whose key this is. Takes as long for every key of one length."""
        digest, found = self._digest(key), None
        for known, name in self._owners:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def _digest(self, key: str) -> bytes:
        return hmac.digest(self._salt, key.encode("utf-8", "surrogatepass"), hashlib.sha256)
