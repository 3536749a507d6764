"""The figures of all repeats: their spread, the targets, and both as text. No I/O."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

# Subject → figure → over all repeats `median`, `min`, `max`, and `runs`, a list.
Table = dict[str, dict[str, dict[str, Any]]]
TARGETS = (
    # What it says, the service's figure, the subject that it is divided by, and the limit.
    ("CPU per event, times nginx's", "cpu_us_per_event", "nginx", "≤", 4.5),
    ("CPU per event, the goal", "cpu_us_per_event", "nginx", "≤", 3.5),
    ("CPU per event of whole searches, times nginx's", "whole_cpu_us_per_event", "nginx", "≤", 6),
    ("streams without a gap over 100 ms", "stall_free_streams", "", "≥", 400),
    ("added time to the first event, p50, ms", "first_event_added_p50_ms", "", "≤", 2),
    ("memory of an open stream, KB", "stream_kb", "", "≤", 70),
    ("memory at rest without child processes, MB", "idle_main_mb", "", "≤", 90),
    ("POST /search at 32 callers, times LiteLLM's", "search_32_per_s", "litellm", "≥", 4),
    ("CPU of a 7 MB upload, times the relay's", "upload_7mb_1_cpu_ms", "relay", "≤", 3),
    ("longest pause with eight photos, ms", "intake_loop_pause_ms", "", "≤", 20),
    ("longest pause with a body at a bound, ms", "bound_pause_ms", "", "≤", 50),
    ("longest gap of streams beside them, ms", "intake_stream_gap_ms", "", "≤", 60),
)


def spread(repeats: Mapping[str, list[dict[str, float]]]) -> Table:
    """Median, least and most of every figure that a subject has in any repeat."""
    table: Table = {}
    for subject, runs in repeats.items():
        table[subject] = {}
        for name in dict.fromkeys(name for run in runs for name in run):
            values = [float(f"{run[name]:.4g}") for run in runs if name in run]
            table[subject][name] = {"median": median(values), "min": min(values)}
            table[subject][name] |= {"max": max(values), "runs": values}
    return table


def targets(table: Table) -> list[dict[str, Any]]:
    """What the bench is to show, from this run's medians; `value` is `None` if not measured."""
    found = []
    for text, figure, other, sign, limit in TARGETS:
        ours, theirs = (table.get(one, {}).get(figure) for one in ("service", other))
        value = ours["median"] if ours and (theirs or not other) else None
        if value is not None and theirs:
            value /= theirs["median"]
        at_most = sign == "≤"
        met = None if value is None else (value <= limit if at_most else value >= limit)
        found.append({"text": text, "value": value, "limit": limit, "at_most": at_most, "met": met})
    return found


def table_text(table: Table) -> str:
    """A row for each figure, a column for each subject: the median, and least to most."""
    names = dict.fromkeys(name for figures in table.values() for name in figures)
    rows = [("", [*table])]
    rows += [(name, [_cell(figures.get(name)) for figures in table.values()]) for name in names]
    return "\n".join(f"{name:38}{''.join(f'{cell:>28}' for cell in row)}" for name, row in rows)


def targets_text(targets: Sequence[Mapping[str, Any]]) -> str:
    """A row for each target: what was measured, what is wanted, and whether it is met."""
    verdicts = {True: "met", False: "NOT met", None: "not measured"}
    rows = [f"{'target':50}{'measured':>10}{'wanted':>10}"]
    for one in targets:
        value = "" if one["value"] is None else short(one["value"])
        wanted = f"{'≤' if one['at_most'] else '≥'} {short(one['limit'])}"
        rows.append(f"{one['text']:50}{value:>10}{wanted:>10}  {verdicts[one['met']]}")
    return "\n".join(rows)


def short(value: float) -> str:
    """A number with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def _cell(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "-"
    least, middle, most = (short(one[name]) for name in ("min", "median", "max"))
    return middle if one["min"] == one["max"] else f"{middle} ({least}-{most})"
