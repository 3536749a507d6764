"""Which pages may search: `CORS_ORIGINS`, compared as browsers send origins."""

from collections.abc import Iterable

from app.setting_types import normal_origin

ANY = "*"


class Origins:
    """The origins whose pages may search, besides those that a token is bound to."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(allowed)

    @property
    def any(self) -> bool:
        """Whether every page may search."""
        return ANY in self._allowed

    def allow(self, origin: str) -> bool:
        """Whether the pages of this origin may search."""
        return self.any or normal_origin(origin) in self._allowed
