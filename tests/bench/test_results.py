"""What the bench makes of its figures."""

from pathlib import Path

from PIL import Image

from bench.figures import Table, Target, spread, targets
from bench.machine import machine
from bench.plot import draw
from bench.report import table_text, targets_text

TABLE: Table = spread(
    {
        "nginx": [{"cpu_us_per_event": 10.0, "stall_free_streams": 800}],
        "service": [
            {"cpu_us_per_event": 30.0, "stall_free_streams": 400},
            {"cpu_us_per_event": 20.0, "stall_free_streams": 500},
            {"cpu_us_per_event": 24.0, "stall_free_streams": 500},
        ],
    }
)


def by_text(text: str, ladder_top: int = 1_200) -> Target:
    return next(target for target in targets(TABLE, ladder_top) if target.text == text)


def test_a_figure_is_the_median_of_its_repeats_with_least_and_most() -> None:
    found = TABLE["service"]["cpu_us_per_event"]
    assert (found.median, found.min, found.max) == (24, 20, 30)


def test_a_repeat_that_lacks_a_figure_is_left_out_of_it() -> None:
    table = spread({"service": [{"a": 1.0}, {"a": 3.0, "b": 5.0}]})
    assert list(table["service"]["b"].runs) == [5]
    assert table["service"]["a"].median == 2


def test_targets_are_held_against_medians() -> None:
    ratio = by_text("CPU per event, times nginx's")
    assert (ratio.value, ratio.met) == (2.4, True)
    streams = by_text("stall-free streams")
    assert (streams.value, streams.met) == (500, True)


def test_what_was_not_measured_is_neither_met_nor_not() -> None:
    assert by_text("memory at rest, MB").met is None


def test_nginx_is_a_measure_of_streams_only_where_it_has_a_limit() -> None:
    text = "the same, times nginx's where it has a limit"
    assert by_text(text).value == 0.625
    assert by_text(text, ladder_top=800).value is None


def test_a_missed_target_is_said_to_be_missed() -> None:
    told = targets_text([Target("streams", 300, 400, at_most=False)])
    assert told.splitlines()[1].split() == ["streams", "300", "≥", "400", "NOT", "met"]


def test_the_table_has_a_column_for_each_subject() -> None:
    head, cpu, _ = table_text(TABLE).splitlines()
    assert head.split() == ["nginx", "service"]
    assert cpu.split() == ["cpu_us_per_event", "10", "24", "(20-30)"]


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    draw(TABLE, tmp_path / "plot.png", ladder_top=800)
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width == 1_400


def test_the_machine_is_described() -> None:
    assert machine()["cores"] > 0
