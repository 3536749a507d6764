"""Reads which scenario a call asks for, from its `x-simulate` header and its prompt's `[sim …]`."""

import re
from collections import Counter
from dataclasses import replace
from typing import Final

from simulator.catalogue import SCENARIOS
from simulator.knobs import Knobs
from simulator.plan import PARAMETERS, BadParameter, Parameters, Plan
from simulator.refusals import Refusal, Refused

_IN_PROMPT: Final = re.compile(r"\[sim\b([^\]]*)\]")


def without_scenarios(prompt: str) -> str:
    """The prompt as the model would see it."""
    return _IN_PROMPT.sub("", prompt).strip()


def make_plan(header: str, prompt: str, *, knobs: Knobs, tags: Counter[str]) -> Plan:
    """The plan for one call; raises `Refused`. `tags` counts calls that `times` limits."""
    words = " ".join([header, *_IN_PROMPT.findall(prompt)]).split()
    names = [word for word in words if "=" not in word]
    given = Parameters(word.split("=", 1) for word in words if "=" in word)
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise _refused("UnknownScenario", f"Unknown: {unknown}. Known: {', '.join(SCENARIOS)}.")
    if unknown := [name for name in given if name not in PARAMETERS]:
        raise _refused("BadParameter", f"Unknown: {unknown}. Known: {sorted(PARAMETERS)}.")
    try:
        plan = _base(given, knobs)
        if not names or _is_over(names, given, tags):
            return plan
        for name in names:
            plan = SCENARIOS[name].apply(plan, given)
    except BadParameter as exc:
        raise _refused("BadParameter", str(exc)) from exc
    return replace(plan, scenario=" ".join(names))


def _base(given: Parameters, knobs: Knobs) -> Plan:
    return Plan(
        key=knobs.key,
        pace_s=given.number("pace", knobs.pace_s),
        silence_s=given.number("silence", knobs.silence_s),
        results=given.whole("results", knobs.results),
        seed=given.whole("seed", knobs.seed),
        repeatable="seed" in given,
        after=given.whole("after", 5),
        size_bytes=max(1, given.whole("bytes", 1024)),
    )


def _is_over(names: list[str], given: Parameters, tags: Counter[str]) -> bool:
    """Whether the scenario's `times` are used up. Counts this call."""
    times = given.whole("times", 0)
    if not times:
        return False
    tag = given.get("tag", " ".join(names))
    tags[tag] += 1
    return tags[tag] > times


def _refused(what: str, message: str) -> Refused:
    return Refused(Refusal("simulator", 400, f"Simulator{what}", message))
