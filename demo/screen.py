"""The terminal: plain lines, one line that is written over, and flowing words."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS_MAX: Final = 92
INDENT: Final = "  "
# Room left at the right for the word that begins just before the margin.
LONGEST_WORD: Final = 12
STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}


class Screen:
    """Where the demo writes; on anything but a terminal (`live` is false) plain lines only."""

    def __init__(self, out: TextIO, *, colours: bool, live: bool, columns: int = 80) -> None:
        self._out = out
        self._colours = colours
        self.live = live
        self._margin = min(columns, COLUMNS_MAX) - LONGEST_WORD
        self._open = 0
        self._column = 0

    @classmethod
    def on(cls, out: TextIO, environ: Mapping[str, str]) -> Screen:
        """The screen that suits this file and environment (NO_COLOR, TERM)."""
        terminal = out.isatty() and environ.get("TERM") != "dumb"
        colours = terminal and not environ.get("NO_COLOR")
        columns = shutil.get_terminal_size().columns
        return cls(out, colours=colours, live=terminal, columns=columns)

    def style(self, text: str, name: str) -> str:
        """The text in one of STYLES, where colours are wanted."""
        return f"\x1b[{STYLES[name]}m{text}\x1b[0m" if self._colours else text

    def line(self, text: str = "") -> None:
        """Write one whole line, below whatever is unfinished."""
        self.finish()
        self._write(f"{text}\n")

    def tick(self, text: str) -> None:
        """Write the line that the next tick replaces; on no terminal nothing at all."""
        if self.live:
            self._finish_words()
            self._write("\r" + text.ljust(self._open))
            self._open = len(text)

    def flow(self, text: str) -> None:
        """Write words as they come, broken near the margin and never inside a word."""
        if not self._column:
            self.finish()
        for letter in clean(text):
            self._letter(letter)
        self._out.flush()

    def finish(self) -> None:
        """End the unfinished line, if there is one."""
        self._finish_words()
        if self._open:
            self._open = 0
            self._write("\n")

    def _finish_words(self) -> None:
        if self._column:
            self._column = 0
            self._write("\n")

    def _letter(self, letter: str) -> None:
        wide = unicodedata.east_asian_width(letter) in "WF"
        if letter == "\n" or (self._column >= self._margin and (wide or letter == " ")):
            self._out.write("\n")
            self._column = 0
        if letter == "\n" or (letter == " " and not self._column):
            return
        if not self._column:
            self._out.write(INDENT)
            self._column = len(INDENT)
        self._out.write(letter)
        self._column += 2 if wide else 1

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def clean(text: str) -> str:
    """The text without control characters, which could drive the reader's terminal."""
    return "".join(_printable(letter) for letter in text)


def one_line(text: str) -> str:
    """The same, on a single line."""
    return " ".join(clean(text).split())


def stdout(environ: Mapping[str, str]) -> Screen:
    """The screen on standard output; what its encoding cannot say becomes a question mark."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    return Screen.on(sys.stdout, environ)


def _printable(letter: str) -> str:
    if letter == "\n" or letter.isprintable():
        return letter
    return " " if letter.isspace() else ""
