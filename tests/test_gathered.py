import asyncio
from typing import Any

import pytest

from app.gathered import Gathered, Turn
from tests.clock import settle


class Wire(asyncio.Transport):
    """Keeps what is written, write by write, of all wires together."""

    def __init__(self, log: list[tuple[str, bytes]], name: str = "a") -> None:
        super().__init__()
        self.log, self.name = log, name
        self.closed = False

    def write(self, data: Any) -> None:
        self.log.append((self.name, data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1)}.get(name, default)


def gathered(log: list[tuple[str, bytes]], turn: Turn | None = None, name: str = "a") -> Gathered:
    def nothing() -> None:
        """Closing concerns nobody."""

    return Gathered(Wire(log, name), turn or Turn(), most=10, on_close=nothing)


async def test_writes_of_one_turn_go_out_as_one_and_those_of_the_next_as_another() -> None:
    log: list[tuple[str, bytes]] = []
    wire = gathered(log)
    for piece in (b"head", b"-", b"body"):
        wire.write(piece)
    assert log == []
    await settle(1)
    wire.write(b"end")
    await settle(1)
    assert log == [("a", b"head-body"), ("a", b"end")]


async def test_connections_are_written_in_the_order_in_which_they_began() -> None:
    log: list[tuple[str, bytes]] = []
    turn = Turn()
    first, second = gathered(log, turn, "a"), gathered(log, turn, "b")
    second.write(b"1")
    first.write(b"2")
    second.write(b"3")
    await settle(1)
    assert log == [("b", b"13"), ("a", b"2")]


@pytest.mark.parametrize(
    ("pieces", "at_once"),
    [
        ((b"123456789",), []),
        ((b"1234567890",), [b"1234567890"]),
        ((b"12345", b"67890", b"1"), [b"1234567890"]),
    ],
)
async def test_no_more_than_so_many_bytes_wait(
    pieces: tuple[bytes, ...], at_once: list[bytes]
) -> None:
    log: list[tuple[str, bytes]] = []
    wire = gathered(log)
    for piece in pieces:
        wire.write(piece)
    assert [data for _, data in log] == at_once
    await settle(1)
    assert b"".join(data for _, data in log) == b"".join(pieces)


async def test_closing_sends_what_was_written_ahead_of_it() -> None:
    log: list[tuple[str, bytes]] = []
    wire = gathered(log)
    wire.write(b"bye")
    wire.close()
    await settle(1)
    assert log == [("a", b"bye")]
    assert wire.is_closing()


async def test_nothing_is_written_to_a_connection_that_is_gone() -> None:
    log: list[tuple[str, bytes]] = []
    turn = Turn()
    wire, other = gathered(log, turn), gathered(log, turn, "b")
    wire.write(b"late")
    other.write(b"well")
    wire._transport.close()
    await settle(1)
    assert log == [("b", b"well")]


async def test_it_is_the_transport_in_all_else() -> None:
    assert gathered([]).get_extra_info("peername") == ("127.0.0.1", 1)
