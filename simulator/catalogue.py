"""All scenarios: most are in `scenarios.toml`, those that need code are here."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Final, get_args

from simulator.plan import BadParameter, Parameters, Plan
from simulator.refusals import REFUSALS, Form, Refusal

Changes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that an upstream may do. `changes` gives the new fields of the plan."""

    description: str
    changes: Callable[[Plan, Parameters], Changes]

    def apply(self, plan: Plan, given: Parameters) -> Plan:
        """The plan with this scenario's changes; raises `BadParameter`."""
        return replace(plan, **self.changes(plan, given))


def _scenario(does: str, error: str | None = None, **changes: Any) -> Scenario:
    refusal = REFUSALS[error] if error else None
    failure = {"refusal": refusal, "form": refusal.form} if refusal else {}
    return Scenario(does, lambda _plan, _given: failure | changes)


def _number(does: str, field: str, parameter: str, default: float) -> Scenario:
    """A scenario that takes a field of the plan from a parameter."""
    kind = type(default)
    return Scenario(does, lambda _, given: {field: kind(given.number(parameter, default))})


def _fixed(status: int, kind: str, body: bytes | str, **changes: Any) -> Scenario:
    data = body if isinstance(body, bytes) else f"<html><h1>{body}</h1></html>".encode()
    return _scenario(f"HTTP {status}, {kind}", fixed=(status, kind, data), **changes)


def _chosen_error(_: Plan, given: Parameters) -> Changes:
    slug = given.get("row", "internal")
    if slug not in REFUSALS:
        raise BadParameter(f"No row is named '{slug}'. There are: {', '.join(REFUSALS)}.")
    form = given.get("as", REFUSALS[slug].form)
    if form not in get_args(Form):
        raise BadParameter(f"'as' must be one of: {', '.join(get_args(Form))}.")
    changes: Changes = {"refusal": REFUSALS[slug], "form": form}
    return changes | ({"ending": "error_event"} if form == "frame" else {})


def _nested_error(_: Plan, given: Parameters) -> Changes:
    status = given.whole("status", 429)
    if status < 400:  # noqa: PLR2004 - the first error status of HTTP
        raise BadParameter("'status' must be from 400 to 599.")
    refusal = Refusal("nested", status, given.get("code", "insufficient_quota"), "Not now.")
    return {"refusal": refusal, "form": "nested"}


def _retry_after(_: Plan, given: Parameters) -> Changes:
    headers = (("retry-after", str(given.whole("s", 1))),)
    return {"refusal": REFUSALS["rate_quota"], "headers": headers}


def _echo_key_error(plan: Plan, _: Parameters) -> Changes:
    message = f"Incorrect API key provided: {plan.key}. Find your key in the console."
    return {"refusal": Refusal("echo", 400, "InvalidParameter", message)}


def _gated(_: Plan, given: Parameters) -> Changes:
    return {"gate": given.get("tag", "default")}


_TABLE: Final = resources.files(__package__).joinpath("scenarios.toml").read_text(encoding="utf-8")
_ELSEWHERE: Final = (("location", "http://127.0.0.1:9/elsewhere"),)
SCENARIOS: Final = {name: _scenario(**fields) for name, fields in tomllib.loads(_TABLE).items()} | {
    "gated": Scenario("event 3 waits until the gate `tag` is opened", _gated),
    "big_event": _number("one event of `bytes` bytes", "big_event_bytes", "bytes", 3_000_000),
    "silence": _number("the search takes `s` seconds", "silence_s", "s", 10.0),
    "slow_headers": _number("headers come after `delay` seconds", "headers_delay_s", "delay", 3.0),
    "error": Scenario("the error `row` of the table, sent `as` a form", _chosen_error),
    "nested_error": Scenario("an OpenAI-shaped error of `status` and `code`", _nested_error),
    "retry_after": Scenario("HTTP 429 with Retry-After: `s`", _retry_after),
    "echo_key_error": Scenario("HTTP 400 with the API key in its message", _echo_key_error),
    "redirect": _fixed(307, "text/plain", b"", headers=_ELSEWHERE),
    "http_502_html": _fixed(502, "text/html", "502 Bad Gateway"),
    "http_504_html": _fixed(504, "text/html", "504 Gateway Time-out"),
    "html_200": _fixed(200, "text/html", "Sign in"),
    "binary_200": _fixed(200, "application/octet-stream", bytes(range(256)) * 8),
    "garbage": _fixed(200, "text/event-stream;charset=UTF-8", b"\x00\xff{]\n" * 64),
}
