"""The scans of a progressive JPEG that hold the mean of every block, of all components in turn.

They are written anew for each component alone (ITU-T T.81 §A.2, §F.1.2.1, §G.1.2.1). Bits are text
here, of "0" and "1": a regular expression reads Huffman codes faster than other Python does.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, islice
from operator import sub

CATEGORY_BITS, CATEGORY_MAX = 4, 11
"""Of the codes that are written: as many bits for each category. Samples of 8 bits have 12."""

CODES_MAX = 16
"""Of a table of means: one for each category (§F.1.2.1.1)."""

STEP = 1024
"""Groups at a time: of all, the pieces of text would take more memory than the picture."""

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Blocks:
    """Of a component: how many blocks a group (MCU) has across and down, and all of it; its table.

    What is more in the groups than in all of it only fills them up.
    """

    across: int
    down: int
    size: tuple[int, int]
    table: int

    @property
    def in_group(self) -> int:
        return self.across * self.down


@dataclass(frozen=True, slots=True)
class Groups:
    """How many groups stand side by side and above one another, and between restarts; 0 is all."""

    wide: int
    high: int
    restart: int

    def runs(self) -> Iterator[int]:
        """How many stand between restarts, one run after the other."""
        count = self.wide * self.high
        each = self.restart or count
        return (min(each, count - done) for done in range(0, count, each))


def first_scan(
    data: memoryview, components: Sequence[Blocks], groups: Groups, tables: dict[int, bytes]
) -> Iterator[bytes]:
    """For each component what its scan holds, in the codes of `huffman_table`.

    Args:
        data: What follows the scan's header, up to the next marker.
        components: In the order in which they stand in a group.
        groups: How many there are.
        tables: By number: how many codes of each length from 1 to 16, and the categories.

    Raises:
        ValueError: A table is missing, or a mean is out of range.
    """
    codes = [_codes(tables.get(one.table, b"")) for one in components]
    pattern = re.compile("".join(map(_pattern, codes, components)))
    differences = [_differences(each) for each in codes]
    means = [array("i") for _ in components]
    for bits, count in _runs(data, components, groups):
        last, missing = [0] * len(components), count
        for found in _in_steps(pattern, bits, count):
            at = 0
            for number, one in enumerate(components):
                known, behind = differences[number], at + one.in_group
                steps = (known[code] for group in found for code in group[at:behind])
                sums = list(accumulate(steps, initial=last[number]))
                means[number].extend(sums[1:])
                at, last[number] = behind, sums[-1]
            missing -= len(found)
        # What is cut off differs in nothing, as decoders have it.
        for one, into, mean in zip(components, means, last, strict=True):
            into.extend(array("i", [mean]) * (missing * one.in_group))
    for one, found_means in zip(components, means, strict=True):
        yield _coded(_in_rows(found_means, one, groups))


def later_scan(data: memoryview, components: Sequence[Blocks], groups: Groups) -> Iterator[bytes]:
    """For each component what its scan holds, where that is one bit more of every mean."""
    in_group = sum(one.in_group for one in components)
    found = [array("b") for _ in components]
    for bits, count in _runs(data, components, groups):
        whole = bits[: count * in_group].ljust(count * in_group, "0").encode()
        at = 0
        for one, into in zip(components, found, strict=True):
            mine = bytearray(count * one.in_group)
            for block in range(one.in_group):
                mine[block :: one.in_group] = whole[at + block :: in_group]
            into.frombytes(bytes(mine))
            at += one.in_group
    for one, into in zip(components, found, strict=True):
        yield _packed(_in_rows(into, one, groups).tobytes().decode())


def huffman_table(number: int) -> bytes:
    """The segment (DHT, §B.2.4.2) that says how it is written: in order, in codes of four bits."""
    counts = bytearray(16)
    counts[CATEGORY_BITS - 1] = CATEGORY_MAX + 1
    body = bytes((number, *counts, *range(CATEGORY_MAX + 1)))
    return b"\xff\xc4" + (len(body) + 2).to_bytes(2, "big") + body


def _runs(
    data: memoryview, components: Sequence[Blocks], groups: Groups
) -> Iterator[tuple[str, int]]:
    """The bits between restarts, no more of them than count, and how many groups they are."""
    runs = list(groups.runs())
    restarts = [found.span() for found in islice(_RESTART.finditer(data), len(runs))]
    starts = [0, *(end for _, end in restarts)]
    ends = [*(start for start, _ in restarts), len(data)]
    in_group = sum(one.in_group for one in components)
    for number, count in enumerate(runs):
        most = 2 * (4 * count * in_group + 8)  # A code and its bits have 27 at most
        start, end = (starts[number], ends[number]) if number < len(starts) else (0, 0)
        # A zero behind FF does not count (§F.1.2.3).
        plain = bytes(data[start : min(end, start + most)]).replace(b"\xff\0", b"\xff")
        plain = plain[: most // 2]
        yield f"{int.from_bytes(plain, 'big'):0{8 * len(plain)}b}" if plain else "", count


def _in_steps(pattern: re.Pattern[str], bits: str, count: int) -> Iterator[list[tuple[str, ...]]]:
    """The codes of the groups, up to the first that is none."""
    end = 0
    for done in range(0, count, STEP):
        step = list[tuple[str, ...]]()
        # Not searched for: behind a code that is none, each bit would be tried.
        while len(step) < min(STEP, count - done) and (match := pattern.match(bits, end)):
            end = match.end()
            step.append(match.groups())
        if not step:
            return
        yield step


def _codes(table: bytes) -> dict[str, int]:
    """The category that each code stands for (§C.2).

    Raises:
        ValueError: There are none.
    """
    categories, code, found = iter(table[16:]), 0, dict[str, int]()
    for length, count in enumerate(table[:16], 1):
        for category in islice(categories, count):
            if category <= CATEGORY_MAX and code < 1 << length:
                found[f"{code:0{length}b}"] = category
            code += 1
        code <<= 1
    if not 0 < len(found) <= CODES_MAX:
        raise ValueError("a Huffman table is missing, or has codes that mean the same")
    return found


def _pattern(codes: dict[str, int], one: Blocks) -> str:
    each = "|".join(f"{code}.{{{category}}}" for code, category in codes.items())
    return f"({each})" * one.in_group


def _differences(codes: dict[str, int]) -> dict[str, int]:
    """By a code with the bits that follow it, how far a mean is from the one before (§F.1.2.1)."""
    return {
        code + bits: difference
        for code, category in codes.items()
        for bits, difference in _of_category(category)
    }


@cache
def _of_category(category: int) -> list[tuple[str, int]]:
    if not category:
        return [("", 0)]
    least, count = 1 << (category - 1), 1 << category
    values = (bits if bits >= least else bits - count + 1 for bits in range(count))
    return [(f"{bits:0{category}b}", value) for bits, value in enumerate(values)]


@cache
def _written() -> dict[int, str]:
    codes = {f"{category:0{CATEGORY_BITS}b}": category for category in range(CATEGORY_MAX + 1)}
    return {difference: code for code, difference in _differences(codes).items()}


def _in_rows(found: "array[int]", one: Blocks, groups: Groups) -> "array[int]":
    """What stands in groups in the order of a component alone: row by row of its blocks."""
    if one.in_group == 1 and one.size == (groups.wide, groups.high):
        return found
    in_row, rows = groups.wide * one.in_group, array(found.typecode)
    line = array(found.typecode, [0]) * (groups.wide * one.across)
    for start in range(0, len(found), in_row):
        row = found[start : start + in_row]
        for block in range(0, one.in_group, one.across):
            for at in range(one.across):
                line[at :: one.across] = row[block + at :: one.in_group]
            rows.extend(line[: one.size[0]])
    return rows[: one.size[0] * one.size[1]]


def _coded(means: "array[int]") -> bytes:
    codes, before = _written(), array("i", [0]) + means[:-1]
    try:
        return _packed("".join(map(codes.__getitem__, map(sub, means, before))))
    except KeyError as exc:
        raise ValueError("a mean is out of range") from exc


def _packed(bits: str) -> bytes:
    """Bits as a scan has them: filled up with ones, and with a zero behind each FF (§F.1.2.3)."""
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0") if bits else b""
