"""What the bench's upstream answers, and its bytes. No I/O but reading `events.txt`.

The events there are framed as DashScope frames them: no space behind the colons, a status comment
inside every event. The seventh is the delta, which is repeated.
"""

import json
from dataclasses import dataclass
from pathlib import Path

EVENTS = (Path(__file__).parent / "events.txt").read_text(encoding="utf-8").split("\n\n")[:-1]
AHEAD, BEHIND = 6, 4  # events before the deltas and after them
MODEL = "qwen3.7-plus"
LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """One kind of answer.

    `interval_s` is the time between two deltas of a stream, 0 for all at once. With `held` the
    deltas wait until they are released, so that all streams of a run are open before the first.
    """

    deltas: int
    interval_s: float = 0
    held: bool = False

    @property
    def tokens(self) -> list[str]:
        """The text of each delta; every one is different, so a lost one is noticed."""
        return [f"w{number:05d} " for number in range(self.deltas)]

    @property
    def text(self) -> str:
        return "".join(self.tokens)


@dataclass(frozen=True, slots=True)
class Chunks:
    """An answer in HTTP chunks; `whole` is the body for a request that asked for no stream."""

    opening: bytes
    deltas: tuple[bytes, ...]
    closing: bytes
    whole: bytes


def events(answer: Answer) -> list[bytes]:
    """The events of an answer, numbered, each with its blank line."""
    deltas = [EVENTS[AHEAD].replace("TOKEN", token) for token in answer.tokens]
    closing = [event.replace("TEXT", answer.text) for event in EVENTS[-BEHIND:]]
    return [
        event.replace("NUMBER", f"{n + 1}").replace("SEQUENCE", f"{n}").encode() + b"\n\n"
        for n, event in enumerate(EVENTS[:AHEAD] + deltas + closing)
    ]


def encode(answer: Answer) -> Chunks:
    """All bytes of an answer, made before the run."""
    made = events(answer)
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in made]
    completed = json.loads(made[-1].partition(b"\ndata:")[2])
    return Chunks(
        opening=b"".join(chunks[:AHEAD]),
        deltas=tuple(chunks[AHEAD:-BEHIND]),
        closing=b"".join(chunks[-BEHIND:]) + LAST_CHUNK,
        whole=json.dumps(completed["response"], separators=(",", ":")).encode(),
    )
