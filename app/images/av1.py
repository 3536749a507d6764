"""What AV1 says of a picture before it is decoded (AV1 Bitstream & Decoding Process)."""

SEQUENCE_HEADER = 1
"""Type of a unit (OBU, §6.2.2)."""

UNITS_MAX = 8
"""Looked at. The header of the sequence comes first, behind a delimiter."""

SIZE_BYTES_MAX = 8


def has_grain(data: memoryview) -> bool:
    """Whether film grain may be laid on it: the last thing that the sequence's header says."""
    at = 0
    for _ in range(UNITS_MAX):
        if at >= len(data):
            return False
        kind, extended, sized = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        start = at + 1 + extended
        size, start = _size(data, start) if sized else (len(data) - start, start)
        if kind == SEQUENCE_HEADER:
            return _last_bit(bytes(data[start : start + size]))
        at = start + size
    return False


def _size(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte (§4.10.5), and the place behind it."""
    size = 0
    for place, byte in enumerate(data[at : at + SIZE_BYTES_MAX]):
        size |= (byte & 127) << 7 * place
        if byte < 128:  # noqa: PLR2004  # no more follow
            return size, at + place + 1
    return len(data), at


def _last_bit(payload: bytes) -> bool:
    """The one before the trailing 1 (§5.3.4)."""
    text = f"{int.from_bytes(payload, 'big'):b}".rstrip("0")
    return text[-2:-1] == "1"
