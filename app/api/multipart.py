"""`multipart/form-data` (RFC 7578) taken apart as it arrives, in memory and within limits.

Starlette's own parser spools large parts to the temp directory, which a read-only container
has not; the tokenizer below is the one it uses.
"""

from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import ImageTooLarge, InvalidRequest, MalformedBody


class Part(NamedTuple):
    """One part of a form. `filename` is `None` for a text field."""

    name: str
    filename: str | None
    data: bytearray


class Form:
    """Collects the parts of one body: `feed` it to its end, then `close`."""

    def __init__(self, content_type: str, *, max_file_bytes: int, max_parts: int) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise MalformedBody("The Content-Type of a multipart body must name its boundary.")
        self._parts = _Parts(max_file_bytes, max_parts)
        self._parser = _tokenizer(boundary, self._parts)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            MalformedBody: They are no multipart body.
            ImageTooLarge: A file has more than `max_file_bytes`.
            InvalidRequest: There are more than `max_parts` parts.
        """
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise MalformedBody("The body is not valid multipart/form-data.") from exc

    def drop(self) -> None:
        """Let go of all that has come."""
        self._parts.parts.clear()

    def close(self) -> list[Part]:
        """Return the parts.

        Raises:
            MalformedBody: The body ended before its closing boundary.
        """
        if not self._parts.complete:
            raise MalformedBody("The multipart body ends before its closing boundary.")
        return self._parts.parts


class _Parts:
    """What the tokenizer calls; it knows neither tokenizer nor form.

    The three would else be a cycle, and a form's pictures stay until the garbage collector comes.
    """

    def __init__(self, max_file_bytes: int, max_parts: int) -> None:
        self.parts: list[Part] = []
        self.complete = False
        self._max_file_bytes = max_file_bytes
        self._max_parts = max_parts
        self._header = (bytearray(), bytearray())
        self._disposition = b""

    def begin_part(self) -> None:
        self._disposition = b""
        if 0 < self._max_parts <= len(self.parts):
            raise InvalidRequest(f"A form may have {self._max_parts} parts at most.")

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def end_header(self) -> None:
        name, value = (bytes(half) for half in self._header)
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = (bytearray(), bytearray())

    def end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise MalformedBody("A part of the multipart body has no name.")
        filename = options.get(b"filename")
        name = options[b"name"].decode("utf-8", "replace")
        self.parts.append(
            Part(
                name, None if filename is None else filename.decode("utf-8", "replace"), bytearray()
            )
        )

    def part_data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        part.data.extend(memoryview(data)[start:end])
        if part.filename is not None and 0 < self._max_file_bytes < len(part.data):
            raise ImageTooLarge(f"An image may have {self._max_file_bytes} bytes at most.")

    def end(self) -> None:
        self.complete = True


def _tokenizer(boundary: bytes, parts: _Parts) -> MultipartParser:
    try:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin_part,
                "on_header_field": parts.header_name,
                "on_header_value": parts.header_value,
                "on_header_end": parts.end_header,
                "on_headers_finished": parts.end_headers,
                "on_part_data": parts.part_data,
                "on_end": parts.end,
            },
        )
    except FormParserError as exc:
        raise MalformedBody("The multipart boundary is not valid.") from exc
