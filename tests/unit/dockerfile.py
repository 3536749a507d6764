"""Enough of the Dockerfile's syntax to check ours: stages, and instructions by name."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    """One FROM and the instructions below it, continuation lines joined."""

    name: str
    image: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.lines if name == instruction]

    def copies(self) -> list[tuple[str, str]]:
        """Source and target of what comes from the checkout, not from another stage."""
        plain = [rest.split() for rest in self.all("COPY") if not rest.startswith("--from")]
        return [(source, words[-1]) for words in plain for source in words[:-1]]

    def environment(self) -> dict[str, str]:
        words = [word for rest in self.all("ENV") for word in shlex.split(rest)]
        return dict(word.split("=", 1) for word in words)

    def command(self) -> list[str]:
        (written,) = self.all("CMD")
        return _words(written)

    def healthcheck(self) -> list[str]:
        (written,) = self.all("HEALTHCHECK")
        return _words(written.partition("CMD ")[2])


def stages() -> dict[str, Stage]:
    """All stages by name; one that builds on another has its instructions first."""
    found: dict[str, Stage] = {}
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            image, _, name = rest.split()
            below = list(found[image].lines) if image in found else []
            found[name] = stage = Stage(name, found[image].image if below else image, below)
        elif instruction and found:
            stage.lines.append((instruction, rest.strip()))
    return found


def _words(written: str) -> list[str]:
    words = json.loads(written)
    assert isinstance(words, list), f"not in exec form: {written}"
    return words
