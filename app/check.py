"""`python -m app check`: what is right and what is wrong in the settings, without a paid call."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from app.errors import (
    ServiceError,
    UpstreamAuthFailed,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.guards.prices import Prices
from app.settings import Settings, SettingsError, load
from app.telemetry import Metrics
from app.upstream.client import UpstreamClient
from app.upstream.lenient import as_list, as_object, as_text, parse

NO_ANSWER = (UpstreamProtocol, UpstreamTimeout, UpstreamUnavailable)
State = Literal["right", "wrong", "unknown"]


class Finding(NamedTuple):
    """One line: what was looked at, and how it is."""

    name: str
    state: State
    text: str


def check() -> int:
    """Print a line for each finding; 0 if nothing is wrong, else 1."""
    logging.disable()
    try:
        settings = load()
        findings = list(asyncio.run(_findings(settings)))
    except SettingsError as exc:
        findings = [Finding("settings", "wrong", line) for line in str(exc).splitlines()]
    for name, state, text in findings:
        sys.stdout.write(f"{state:8}{name:11}{text}\n")
    return int(any(finding.state == "wrong" for finding in findings))


async def _findings(settings: Settings) -> list[Finding]:
    upstream = UpstreamClient(settings, Metrics())
    error: ServiceError | None = None
    names: set[str] = set()
    try:
        listed = as_object(parse(await upstream.fetch("GET", "/models", {}))).get("data")
        names = {as_text(as_object(model).get("id")) for model in as_list(listed)}
        if not names:
            error = UpstreamProtocol("What it answers is no list of models.")
    except ServiceError as exc:
        error = exc
    finally:
        await upstream.aclose()
    return [*_connection(settings, error), _key(error), *_models(settings, names)]


def _connection(settings: Settings, error: ServiceError | None) -> Iterator[Finding]:
    state: State = "wrong" if isinstance(error, NO_ANSWER) else "right"
    said = error.detail if error else "It answers."
    yield Finding("region", state, f"{settings.dashscope_region}: {settings.base_url}. {said}")
    workspace, proxy = settings.dashscope_workspace_id, settings.upstream_proxy.get_secret_value()
    yield Finding("workspace", state if workspace else "right", workspace or "none")
    yield Finding("proxy", state if proxy else "right", urlsplit(proxy).hostname or "none")


def _key(error: ServiceError | None) -> Finding:
    if error is None:
        return Finding("key", "right", "is accepted")
    if isinstance(error, UpstreamAuthFailed):
        return Finding("key", "wrong", "is refused; a key works in its own region only")
    return Finding("key", "unknown", "could not be tried")


def _models(settings: Settings, names: set[str]) -> Iterator[Finding]:
    wanted = {settings.model, *settings.allowed_models}
    missing = ", ".join(sorted(wanted - names))
    if not names:
        yield Finding("model", "unknown", "could not be tried")
    elif missing:
        yield Finding("model", "wrong", f"not among the {len(names)} that are offered: {missing}")
    else:
        yield Finding("model", "right", f"offered: {', '.join(sorted(wanted))}")
    prices = Prices(settings)
    unpriced = ", ".join(sorted(model for model in wanted if not prices.known(model)))
    limited = settings.budget_client_cny_per_day or settings.budget_total_cny_per_day
    state: State = "right" if not unpriced else "wrong" if limited else "unknown"
    yield Finding("prices", state, f"set PRICES for {unpriced}" if unpriced else "known")
