"""A JPEG of several scans taken apart: for each component, a greyscale JPEG of it alone.

A decoder holds the coefficients of all components until the last scan, two bytes for each sample.
Scans of one component are taken over as they are, and those of several written anew, but where each
is complete in itself: then it is a JPEG as it stands.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.images.dc_scan import Blocks, Groups, first_scan, huffman_table, later_scan
from app.images.jpeg import DHT, DQT, DRI, EOI, FRAME_BYTES, FRAMES, PROGRESSIVE, SOS
from app.images.segments import (
    END,
    START,
    Segment,
    begins_means,
    components_of,
    means_tables,
    segments_of,
    stored_segment,
)

SEPARABLE_FRAMES = frozenset((0xC0, 0xC1, PROGRESSIVE))
"""Those of Huffman codes."""

TEXT_BYTES = 8
"""Of a scan that is written anew: a letter for each bit."""

BLOCK_SIDE = 8
COMPONENTS_MAX, FACTOR_MAX, GROUP_MAX = 4, 4, 10
"""Sampling factors, and blocks in a group of several components (§B.2.2, §B.2.3)."""

LATER_SCANS_MAX, RUNS_MAX = 4, 100_000
"""Encoders refine means once or twice. Each scan, and each run between restarts, takes time."""

ALONE = 0x11
"""The sampling factors of a component that has no other beside it, or only such as are as large."""


@dataclass(frozen=True, slots=True)
class Component:
    """A component of the frame: its number, its sampling factors, and its quantisation table."""

    number: int
    across: int
    down: int
    table: int


class Scans:
    """A picture's scans, as its headers tell of them.

    `components` is empty where they cannot be had apart: arithmetic codes, sampling factors that do
    not divide one another, or a scan that holds more than means of several components, unless it is
    complete, and they are not sampled more often than others.
    """

    def __init__(self, parts: Sequence[memoryview]) -> None:
        self.segments = [segment for part in parts for segment in segments_of(part)]
        self._frame = next(one for one in self.segments if one.marker in FRAMES)
        body = self._frame.body
        self._size = (int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big"))
        every = (body[at : at + 3] for at in range(FRAME_BYTES, len(body), 3))
        self.components = [
            Component(number, (factors >> 4) or 1, (factors & 15) or 1, table)
            for number, factors, table in every
        ]
        self._across = max(one.across for one in self.components)
        self._down = max(one.down for one in self.components)
        alone = all(map(self._is_alone, self.segments)) and all(map(self._divides, self.components))
        if self._frame.marker not in SEPARABLE_FRAMES or not alone or not self._is_usual():
            self.components = []

    def size_of(self, component: Component) -> tuple[int, int]:
        """Samples across and down (ITU-T T.81 §A.1.1)."""
        width, height = self._size
        return (
            -(-width * component.across // self._across),
            -(-height * component.down // self._down),
        )

    def reduction_of(self, component: Component) -> int:
        """How many times as large the whole picture is at least, across or down."""
        return min(self._across // component.across, self._down // component.down)

    def files(self) -> list[tuple[list[int], list[memoryview]]]:
        """JPEGs of one scan, or of one component: which are in it, from 0 on, and it, in pieces.

        Raises:
            ValueError: It is cut off, or damaged where it must be written anew.
        """
        if self.segments[-1].marker != EOI:
            raise ValueError("there is no end")
        if not all(map(self._comes_once, range(len(self.components)))):
            raise ValueError("a component comes twice, or not at all")
        if self._frame.marker == PROGRESSIVE:
            return [([at], file) for at, file in enumerate(self._by_component())]
        return list(self._by_scan())

    def _by_scan(self) -> Iterator[tuple[list[int], list[memoryview]]]:
        tables = list[memoryview]()
        for segment in self.segments:
            if segment.marker in (DHT, DQT, DRI):
                tables.append(segment.stored)
            if segment.marker == SOS:
                chosen = self._chosen(segment)
                frame = memoryview(self._frame_of([self.components[at] for at in chosen]))
                scan = (segment.stored, segment.scan)
                yield chosen, [memoryview(START), *tables, frame, *scan, memoryview(END)]

    def _by_component(self) -> list[list[memoryview]]:
        made = [[memoryview(START)] for _ in self.components]
        tables, restart = dict[int, bytes](), 0
        for segment in self.segments:
            pieces: Iterator[tuple[int, bytes | memoryview]] = iter(())
            if segment is self._frame:
                pieces = enumerate(self._frame_of([one]) for one in self.components)
            elif segment.marker == SOS:
                pieces = self._scan(segment, tables, restart)
            elif segment.marker in (DHT, DQT, DRI):
                pieces = enumerate([segment.stored] * len(made))
            for number, piece in pieces:
                made[number].append(memoryview(piece))
            if segment.marker == DHT:
                tables.update(means_tables(segment.body))
            if segment.marker == DRI:
                restart = int.from_bytes(segment.body[:2], "big")
        return [[*pieces, memoryview(END)] for pieces in made]

    @property
    def has_several(self) -> bool:
        """Whether a file has several components."""
        several = any(one.marker == SOS and one.body[0] > 1 for one in self.segments)
        return self._frame.marker != PROGRESSIVE and several

    @property
    def writing_bytes(self) -> int:
        """Held at most for the scans of several components: a letter for each bit, or a copy."""
        scans = (one for one in self.segments if one.marker == SOS and one.body[0] > 1)
        longest = max((len(one.scan) for one in scans), default=0)
        if self._frame.marker == PROGRESSIVE:
            return TEXT_BYTES * longest
        tables = (one for one in self.segments if one.marker in (DHT, DQT, DRI))
        return longest + sum(len(one.stored) for one in tables)

    def _is_usual(self) -> bool:
        """Whether it is as encoders make it: others would only take time and memory."""
        several = [one for one in self.segments if one.marker == SOS and one.body[0] > 1]
        chosen = [components_of(one.body) for one in several]
        by_number = {one.number: one.across * one.down for one in self.components}
        restarts = [one.body[:2] for one in self.segments if one.marker == DRI]
        least = min((int.from_bytes(one, "big") for one in restarts if any(one)), default=0)
        groups = -(-self._size[0] // BLOCK_SIDE) * -(-self._size[1] // BLOCK_SIDE)
        return (
            len(by_number) == len(self.components) <= COMPONENTS_MAX
            and max(self._across, self._down) <= FACTOR_MAX
            and all(len(set(numbers)) == len(numbers) for numbers in chosen)
            and all(sum(by_number.get(one, 0) for one in each) <= GROUP_MAX for each in chosen)
            and sum(not begins_means(one.body) for one in several) <= LATER_SCANS_MAX
            and (not several or not least or groups // least <= RUNS_MAX)
        )

    def _is_alone(self, segment: Segment) -> bool:
        """Whether a scan, if it is one, can be had apart from the others.

        It is of one component, or of nothing but means (§G.1.1.1.1), or complete.
        """
        body = segment.body
        if segment.marker != SOS:
            return True
        if not body or len(body) != 4 + 2 * body[0]:
            return False
        if self._frame.marker == PROGRESSIVE:
            return body[0] == 1 or (body[0] > 1 and body[-3] == body[-2] == 0)
        chosen = [one for one in self.components if one.number in components_of(body)]
        return body[0] == 1 or all(one.across * one.down == 1 for one in chosen)

    def _divides(self, one: Component) -> bool:
        return self._across % one.across == 0 == self._down % one.down

    def _comes_once(self, at: int) -> bool:
        """Whether one scan is of this component, or begins with its means: each takes time."""
        number = self.components[at].number
        bodies = [one.body for one in self.segments if one.marker == SOS]
        if self._frame.marker == PROGRESSIVE:
            bodies = list(filter(begins_means, bodies))
        return sum(number in components_of(body) for body in bodies) == 1

    def _frame_of(self, chosen: Sequence[Component]) -> bytes:
        """The frame as if these, which are as large as one another, were all."""
        width, height = self.size_of(chosen[0])
        said = struct.pack(">BHHB", self._frame.body[0], height, width, len(chosen))
        every = b"".join(bytes((one.number, ALONE, one.table)) for one in chosen)
        return stored_segment(self._frame.marker, said + every)

    def _chosen(self, scan: Segment) -> list[int]:
        """Which of the components a scan is of.

        Raises:
            ValueError: It is of one that is none.
        """
        numbers = [one.number for one in self.components]
        return [numbers.index(number) for number in components_of(scan.body)]

    def _scan(
        self, segment: Segment, tables: dict[int, bytes], restart: int
    ) -> Iterator[tuple[int, bytes | memoryview]]:
        """What each component in it gets of a scan."""
        chosen = self._chosen(segment)
        if len(chosen) == 1:
            yield chosen[0], segment.stored
            yield chosen[0], segment.scan
            return
        blocks = [
            self._blocks(self.components[at], segment.body[2 + 2 * place] >> 4)
            for place, at in enumerate(chosen)
        ]
        width, height = self._size
        wide = -(-width // (BLOCK_SIDE * self._across))
        groups = Groups(wide, -(-height // (BLOCK_SIDE * self._down)), restart)
        first = begins_means(segment.body)
        scans = (
            first_scan(segment.scan, blocks, groups, tables)
            if first
            else later_scan(segment.scan, blocks, groups)
        )
        for at, scan in zip(chosen, scans, strict=True):
            said = bytes((1, self.components[at].number, 0, *segment.body[-3:]))
            yield at, huffman_table(0) if first else b""
            yield at, stored_segment(DRI, bytes(2)) + stored_segment(SOS, said) + scan
            yield at, stored_segment(DRI, restart.to_bytes(2, "big"))

    def _blocks(self, one: Component, table: int) -> Blocks:
        width, height = (-(-side // BLOCK_SIDE) for side in self.size_of(one))
        return Blocks(one.across, one.down, (width, height), table)
