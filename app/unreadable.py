"""A request that could not be read, where its parser stood: what is known of it, and no more."""


class Unreadable:
    """Answers for a parser that has given up, so that the request can be handed on and refused."""

    def __init__(self, method: bytes) -> None:
        """Take the method, if the parser got as far as that."""
        self._method = method or b"-"

    def get_method(self) -> bytes:
        """The method, or a dash, which no address has."""
        return self._method

    def get_http_version(self) -> str:
        """The version of the answer."""
        return "1.1"

    def should_keep_alive(self) -> bool:
        """Nobody knows where a next request would begin."""
        return False

    def should_upgrade(self) -> bool:
        """Nothing else is spoken here."""
        return False
