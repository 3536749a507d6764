"""Which `Host` a request may name."""

import re
from collections.abc import Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware import QUIET_PATHS
from app.api.problems import path_of
from app.errors import HostNotAllowed

HOST = re.compile(r"(\[[\da-fA-F:.]+\]|[\w.-]*)(?::\d*)?", re.ASCII)


class AllowedHosts:
    """Refuses a `Host` that is not `allowed`; where that is empty, `local_only` decides.

    A page whose own name is made to lead here (DNS rebinding) has the service's origin: neither
    CORS nor `Origin` stops it, and where callers need no key only `Host` can. Such a page has a
    name with a dot. What machines poll answers to any name.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str], *, local_only: bool) -> None:
        self.app = app
        self.allowed = frozenset(allowed)
        self.local_only = local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and path_of(scope) not in QUIET_PATHS:
            self._check(Headers(scope=scope).get("host", ""))
        await self.app(scope, receive, send)

    def _check(self, host: str) -> None:
        if not self.allowed and not self.local_only:
            return
        found = HOST.fullmatch(host)
        name = found[1].lower().strip("[]").removesuffix(".") if found else None
        if name is None or not (name in self.allowed if self.allowed else _is_local(name)):
            raise HostNotAllowed("This service has no such name; ALLOWED_HOSTS can add it.")


def _is_local(name: str) -> bool:
    if "." not in name or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
