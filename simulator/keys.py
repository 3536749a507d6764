"""The API key check, and headers as the record may show them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from simulator.refusal import Refused
from simulator.refusals import REFUSALS

if TYPE_CHECKING:
    from starlette.datastructures import Headers


def check_key(headers: Headers, key: str) -> None:
    """Compare the bearer key with ours.

    Raises:
        Refused: it is another one, or there is none.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if not given.strip() or scheme.lower() != "bearer":
        raise Refused(REFUSALS["key_missing"])
    if not secrets.compare_digest(given.strip().encode(), key.encode()):
        raise Refused(REFUSALS["key_invalid"])


def shown(headers: Headers) -> dict[str, str]:
    """The headers by lower-case name, with only the scheme of the authorization."""
    seen = dict(headers.items())
    if "authorization" in seen:
        seen["authorization"] = seen["authorization"].partition(" ")[0]
    return seen
