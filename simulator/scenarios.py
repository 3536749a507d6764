"""Reading which scenario a call asks for, and making its plan. The scenarios: see `catalogue`."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from simulator.catalogue import SCENARIOS
from simulator.knobs import KnobError, Knobs
from simulator.parameters import BadParameter, Parameters
from simulator.plan import Plan
from simulator.refusal import Refusal, Refused

HEADER: Final = "x-simulate"
TAGS_MAX: Final = 10_000

_IN_PROMPT: Final = re.compile(r"\[sim\b([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Wish:
    """The scenario names and parameters that one call carries."""

    names: tuple[str, ...]
    parameters: Parameters


class Tries:
    """How often each tag was seen, for failures that pass after some calls. Bounded."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, int] = OrderedDict()

    def count(self, tag: str) -> int:
        """Count one more call with this tag, and say which one it is, from 1."""
        self._seen[tag] = self._seen.pop(tag, 0) + 1
        if len(self._seen) > TAGS_MAX:
            self._seen.popitem(last=False)
        return self._seen[tag]

    def clear(self) -> None:
        """Forget all tags."""
        self._seen.clear()


def without_wishes(prompt: str) -> str:
    """The prompt as the model would see it."""
    return _IN_PROMPT.sub("", prompt).strip()


def read_wish(header: str, prompt: str) -> Wish:
    """Gather the wishes of the request header and of every `[sim …]` in the prompt.

    Raises:
        Refused: a name is not a scenario's, or a parameter is not one.
    """
    words = [*header.split()]
    for found in _IN_PROMPT.findall(prompt):
        words += found.split()
    names = tuple(word for word in words if "=" not in word)
    for name in names:
        if name not in SCENARIOS:
            known = ", ".join(SCENARIOS)
            raise _refused("UnknownScenario", f"No scenario is named '{name}'. There are: {known}.")
    try:
        return Wish(names, Parameters.read(word for word in words if "=" in word))
    except BadParameter as exc:
        raise _refused("BadParameter", str(exc)) from exc


def make_plan(wish: Wish, knobs: Knobs, tries: Tries) -> Plan:
    """The plan for one call; counts its tag when the failure passes after `times` calls.

    Raises:
        Refused: a parameter is out of its bounds.
    """
    try:
        plan = _with_knobs(wish.parameters, knobs)
        if not wish.names or _has_passed(wish, tries):
            return plan
        for name in wish.names:
            plan = SCENARIOS[name].change(plan, wish.parameters)
    except (BadParameter, KnobError) as exc:
        raise _refused("BadParameter", str(exc)) from exc
    return replace(plan, scenario=" ".join(wish.names))


def _with_knobs(given: Parameters, knobs: Knobs) -> Plan:
    seed = given.whole("seed", -1)
    knobs = replace(
        knobs,
        pace_s=given.number("pace", knobs.pace_s),
        silence_s=given.number("silence", knobs.silence_s),
        results=given.whole("results", knobs.results),
        seed=knobs.seed if seed < 0 else seed,
    )
    return Plan(knobs=knobs, seed=None if seed < 0 else seed)


def _has_passed(wish: Wish, tries: Tries) -> bool:
    times = wish.parameters.whole("times", 0)
    tag = wish.parameters.text("tag", " ".join(wish.names))
    return times > 0 and tries.count(tag) > times


def _refused(what: str, message: str) -> Refused:
    return Refused(Refusal("simulator", 400, f"Simulator{what}", message))
