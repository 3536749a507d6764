"""HTTP/1.1 that stays it, whatever its caller wishes to speak."""

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class SteadyProtocol(HttpToolsProtocol):
    """Passes over a wish for another protocol, as a server may (RFC 9110 §7.8).

    The parser would not, and lose the body: it takes the end of such a head for that of HTTP. So
    it is given that head a second time, without the wish.
    """

    @property
    def asks_upgrade(self) -> bool:
        """Whether the head that has just been read is one that the parser is given again."""
        # To `CONNECT` there is no other side: it has no path, and is refused for that.
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def data_received(self, data: bytes) -> None:
        """Parse, as uvicorn does."""
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._parse(rest) :]
        except HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def on_headers_complete(self) -> None:
        """Begin with the request, unless its head will be read again."""
        if not self.asks_upgrade:
            super().on_headers_complete()
            self.on_request()

    def on_message_complete(self) -> None:
        """End the request, unless it has not begun."""
        if not self.asks_upgrade:
            super().on_message_complete()
            self.on_request_end()

    def on_request(self) -> None:
        """Do something once a request has begun."""

    def on_request_end(self) -> None:
        """Do something once all of it has come."""

    def _parse(self, data: memoryview) -> int:
        """Parse to the end, or to that of a head with a wish; how many bytes that was."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self.parser.feed_data(self._head_without_wish())
            end: int = upgrade.args[0]
            return end
        return len(data)

    def _head_without_wish(self) -> bytes:
        version = self.parser.get_http_version().encode()
        request = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)
        fields = (b"%b: %b" % field for field in self.headers if field[0] != b"upgrade")
        return b"\r\n".join([request, *fields, b"", b""])
