"""The results as text for a terminal."""

from collections.abc import Iterable, Sequence

from bench.figures import Spread, Table, Target

GAP = "  "


def table_text(table: Table) -> str:
    """A row for each figure, a column for each subject: the median, and least to most."""
    subjects = list(table)
    names = dict.fromkeys(name for figures in table.values() for name in figures)
    rows = [["", *subjects]]
    rows += [[name, *(_cell(table[one].get(name)) for one in subjects)] for name in names]
    return _aligned(rows)


def targets_text(targets: Iterable[Target]) -> str:
    """A row for each target: what was measured, what was wanted, the verdict."""
    verdicts = {True: "met", False: "NOT met", None: "not measured"}
    rows = [["target", "measured", "wanted", ""]]
    for target in targets:
        sign = "≤" if target.at_most else "≥"
        value = "" if target.value is None else short(target.value)
        rows.append([target.text, value, f"{sign} {short(target.limit)}", verdicts[target.met]])
    return _aligned(rows)


def short(value: float) -> str:
    """A number with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def _cell(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    if spread.min == spread.max:
        return short(spread.median)
    return f"{short(spread.median)} ({short(spread.min)}-{short(spread.max)})"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
