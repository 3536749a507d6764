"""What a stream brought, taken apart after the run: is it whole, and was it in time? No I/O."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from bench.exchange import HEAD_END, OK, Broken, Stream
from bench.shape import END, Shape

DELTA = b'output_text.delta"'
"""In the data of every delta, whoever framed it; event lines have no quote there."""

DELTAS = re.compile(rb'"delta": ?"([^"]*)"')


def body_of(answer: bytes) -> bytes:
    """The body of an answer, its chunks put together.

    Raises:
        Broken: Its status is not 200, or it is cut off.
    """
    head, _, body = answer.partition(HEAD_END)
    if not head.startswith(OK):
        raise Broken(f"answered {answer[:300]!r}")
    if b"\r\ntransfer-encoding: chunked" not in head.lower():
        return body
    if not body.endswith(END):
        raise Broken("the answer was cut off")
    return b"".join(_chunks(body))


def check(stream: Stream, shape: Shape, last: bytes) -> None:
    """Make sure that every delta came, in order, and the terminal event, once and last.

    Args:
        stream: One that has ended.
        shape: What the upstream sent.
        last: Bytes which only the terminal event has.

    Raises:
        Broken: Something is missing.
    """
    body = body_of(b"".join(stream.pieces))
    text = b"".join(DELTAS.findall(body))
    if text != shape.text.encode():
        got = len(text) // len("w00000 ")
        raise Broken(f"{got} of {shape.deltas} deltas came, or out of order")
    blocks = [block for block in body.replace(b"\r\n", b"\n").split(b"\n\n") if block.strip()]
    if blocks[-1].strip() == b"data: [DONE]":
        del blocks[-1]
    if sum(last in block for block in blocks) != 1 or last not in blocks[-1]:
        raise Broken(f"the terminal event is not once and last: …{body[-300:]!r}")


def gaps_s(stream: Stream, since_s: float | None = None) -> list[float]:
    """Seconds between the deltas as they arrived, and from `since_s` to the first of them."""
    times = delta_times_s(stream)
    return [after - before for before, after in pairwise([since_s or times[0], *times])]


def delta_times_s(stream: Stream) -> list[float]:
    """When deltas arrived; what comes behind the last is no part of a pace."""
    came = zip(stream.times, stream.pieces, strict=True)
    return [time_s for time_s, piece in came if DELTA in piece]


def stalled(streams: Iterable[Stream], since_s: float | None, longest_s: float) -> int:
    """How many streams had a gap of more than `longest_s`."""
    return sum(max(gaps_s(stream, since_s)) > longest_s for stream in streams)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def _chunks(body: bytes) -> Iterable[bytes]:
    """The chunks of a body (RFC 9112 §7.1)."""
    at = 0
    while True:
        line = body.index(b"\r\n", at)
        size = int(body[at:line].split(b";")[0], 16)
        if not size:
            return
        yield body[line + 2 : line + 2 + size]
        at = line + 2 + size + 2
