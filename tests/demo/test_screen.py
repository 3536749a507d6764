"""What reaches the terminal, and what reaches a file."""

import io

import pytest

from demo.screen import Screen, clean, one_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours() -> None:
    assert Screen.on(Terminal(), {"TERM": "xterm"}).style("x", "bold") == "\x1b[1mx\x1b[0m"


@pytest.mark.parametrize(
    ("out", "environ"),
    [
        (Terminal(), {"NO_COLOR": "1"}),
        (Terminal(), {"TERM": "dumb"}),
        (io.StringIO(), {"TERM": "xterm"}),
    ],
)
def test_no_colours_where_they_are_not_wanted(out: io.StringIO, environ: dict[str, str]) -> None:
    assert Screen.on(out, environ).style("x", "bold") == "x"


def test_a_tick_replaces_the_one_before_it_and_a_line_goes_below() -> None:
    out = io.StringIO()
    screen = Screen(out, colours=False, live=True)
    screen.tick("searching")
    screen.tick("done")
    screen.line("next")
    assert out.getvalue() == "\rsearching\rdone     \nnext\n"


def test_a_file_gets_no_ticks() -> None:
    out = io.StringIO()
    screen = Screen(out, colours=False, live=False)
    screen.tick("searching")
    screen.line("next")
    assert out.getvalue() == "next\n"


def test_words_are_broken_between_words_near_the_margin() -> None:
    out = io.StringIO()
    screen = Screen(out, colours=False, live=False, columns=24)
    for delta in ("one two th", "ree four", " five\nsix"):
        screen.flow(delta)
    screen.line()
    assert out.getvalue() == "  one two three\n  four five\n  six\n\n"


def test_chinese_words_are_broken_anywhere() -> None:
    out = io.StringIO()
    screen = Screen(out, colours=False, live=False, columns=20)
    screen.flow("海湾日落")
    assert out.getvalue() == "  海湾日\n  落"


def test_what_could_drive_the_terminal_is_left_out() -> None:
    assert clean("a\x1b[2Jb\x07\u202ec\td\n") == "a[2Jbc d\n"
    assert one_line(" a\n\x1bb ") == "a b"
