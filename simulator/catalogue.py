"""All scenarios, and how a call asks for them: with `x-simulate`, or `[sim …]` in its prompt.

Most scenarios are in `scenarios.toml`; those that read parameters are here.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Final, get_args

from simulator.plan import KNOBS_MAX, Knobs, Plan
from simulator.refusals import REFUSALS, Form, Refusal, Refused

Parameters = dict[str, Any]
Changes = dict[str, Any]

# The `key=value` words of a call and the highest number of each, None for text. `seed` makes all
# bytes of an answer repeatable; with `times` only the first so many calls of a `tag` count.
PARAMETERS: Final[dict[str, int | None]] = {
    **{knob.removesuffix("_s"): highest for knob, highest in KNOBS_MAX.items()},
    **dict.fromkeys(("times", "after"), 10**6),
    **dict.fromkeys(("tag", "row", "as", "code")),
    "delay": 600,
    "s": 100_000,
    "status": 599,
    "bytes": 64 * 1024 * 1024,
}
_IN_PROMPT: Final = re.compile(r"\[sim\b([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that an upstream may do. `changes` gives the new fields of the plan."""

    description: str
    changes: Callable[[Plan, Parameters], Changes]


def make_plan(header: str, prompt: str, *, knobs: Knobs, tags: Counter[str]) -> Plan:
    """The plan for one call; raises `Refused`. `tags` counts calls that `times` limits."""
    words = " ".join([header, *_IN_PROMPT.findall(prompt)]).split()
    names = tuple(word for word in words if "=" not in word)
    given: Parameters = dict(_parameter(word) for word in words if "=" in word)
    if unknown := [name for name in names if name not in SCENARIOS]:
        message = f"Unknown: {unknown}. Known: {', '.join(SCENARIOS)}."
        raise _refused(message, "UnknownScenario")
    plan = Plan(
        key=knobs.key,
        pace_s=given.get("pace", knobs.pace_s),
        silence_s=given.get("silence", knobs.silence_s),
        results=int(given.get("results", knobs.results)),
        seed=int(given.get("seed", knobs.seed)),
        public_url=knobs.public_url,
        repeatable="seed" in given,
        after=int(given.get("after", 5)),
        size_bytes=max(1, int(given.get("bytes", 1024))),
    )
    if times := given.get("times"):
        tag = given.get("tag", " ".join(names))
        tags[tag] += 1
        names = names if tags[tag] <= times else ()
    for name in names:
        plan = replace(plan, **SCENARIOS[name].changes(plan, given))
    return replace(plan, names=names)


def without_scenarios(prompt: str) -> str:
    """The prompt as the model would see it."""
    return _IN_PROMPT.sub("", prompt).strip()


def _parameter(word: str) -> tuple[str, float | str]:
    name, _, text = word.partition("=")
    if name not in PARAMETERS:
        raise _refused(f"Unknown: {name}. Known: {', '.join(PARAMETERS)}.")
    highest = PARAMETERS[name]
    if highest is None:
        return name, text
    try:
        value = float(text)
    except ValueError as exc:
        raise _refused(f"'{name}' must be a number.") from exc
    if not 0 <= value <= highest:
        raise _refused(f"'{name}' must be from 0 to {highest}.")
    return name, value


def _refused(message: str, what: str = "BadParameter") -> Refused:
    return Refused(Refusal("simulator", 400, f"Simulator{what}", message))


def _scenario(does: str, error: str | None = None, **changes: Any) -> Scenario:
    """A scenario without parameters; `error` is a row of `errors.csv`."""
    failure = {"refusal": REFUSALS[error], "form": REFUSALS[error].form} if error else {}
    return Scenario(does, lambda _plan, _given: failure | changes)


def _given(does: str, field: str, parameter: str, default: float | str) -> Scenario:
    """A scenario that takes a field of the plan from a parameter."""
    kind = type(default)
    return Scenario(does, lambda _, given: {field: kind(given.get(parameter, default))})


def _chosen_error(_: Plan, given: Parameters) -> Changes:
    slug = given.get("row", "internal")
    if slug not in REFUSALS:
        raise _refused(f"No row is named '{slug}'. There are: {', '.join(REFUSALS)}.")
    form = given.get("as", REFUSALS[slug].form)
    if form not in get_args(Form):
        raise _refused(f"'as' must be one of: {', '.join(get_args(Form))}.")
    changes: Changes = {"refusal": REFUSALS[slug], "form": form}
    return changes | ({"ending": "error_event"} if form == "frame" else {})


def _nested_error(_: Plan, given: Parameters) -> Changes:
    status = int(given.get("status", 429))
    if status < 400:  # noqa: PLR2004 - the first error status of HTTP
        raise _refused("'status' must be from 400 to 599.")
    refusal = Refusal("nested", status, given.get("code", "insufficient_quota"), "Not now.")
    return {"refusal": refusal, "form": "nested"}


def _retry_after(_: Plan, given: Parameters) -> Changes:
    headers = (("retry-after", str(int(given.get("s", 1)))),)
    return {"refusal": REFUSALS["rate_quota"], "headers": headers}


def _echo_key_error(plan: Plan, _: Parameters) -> Changes:
    message = f"Incorrect API key provided: {plan.key}. Find your key in the console."
    return {"refusal": Refusal("echo", 400, "InvalidParameter", message)}


_TABLE: Final = resources.files(__package__).joinpath("scenarios.toml").read_text(encoding="utf-8")
_BINARY: Final = bytes(range(256)).decode("latin-1")
SCENARIOS: Final = {name: _scenario(**fields) for name, fields in tomllib.loads(_TABLE).items()} | {
    "gated": _given("event 3 waits until the gate `tag` is opened", "gate", "tag", "default"),
    "big_event": _given("one event of `bytes` bytes", "big_event_bytes", "bytes", 3_000_000),
    "silence": _given("the search takes `s` seconds", "silence_s", "s", 10.0),
    "slow_headers": _given("headers come after `delay` seconds", "headers_delay_s", "delay", 3.0),
    "error": Scenario("the error `row` of the table, sent `as` a form", _chosen_error),
    "nested_error": Scenario("an OpenAI-shaped error of `status` and `code`", _nested_error),
    "retry_after": Scenario("HTTP 429 with Retry-After: `s`", _retry_after),
    "echo_key_error": Scenario("HTTP 400 with the API key in its message", _echo_key_error),
    "binary_200": _scenario("bytes", fixed=(200, "application/octet-stream", _BINARY * 8)),
}
