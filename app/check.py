"""`python -m app check`: what is right and what is wrong in the settings, without a paid call."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

from app import errors
from app.errors import ServiceError
from app.guards.prices import Prices
from app.settings import Settings, SettingsError, load
from app.telemetry import Metrics
from app.upstream.client import UpstreamClient
from app.upstream.lenient import as_list, as_object, as_text, parse

NO_ANSWER = (errors.UpstreamProtocol, errors.UpstreamTimeout, errors.UpstreamUnavailable)
State = Literal["right", "wrong", "unknown"]
Finding = tuple[str, State, str]
"""One line: what was looked at, how it is, and more about it."""


def check() -> int:
    """Print a line for each finding; 0 if nothing is wrong, else 1."""
    logging.disable()
    try:
        settings = load()
        findings = list(_findings(settings, *asyncio.run(_models(settings))))
    except SettingsError as exc:
        findings = [("settings", "wrong", line) for line in str(exc).splitlines()]
    for name, state, text in findings:
        sys.stdout.write(f"{state:8}{name:11}{text}\n")
    return int(any(state == "wrong" for _, state, _ in findings))


async def _models(settings: Settings) -> tuple[set[str], ServiceError | None]:
    """The models that the upstream offers, or why they are not known."""
    upstream = UpstreamClient(settings, Metrics())
    try:
        listed = as_object(parse(await upstream.fetch("GET", "/models", {}))).get("data")
    except ServiceError as exc:
        return set(), exc
    finally:
        await upstream.aclose()
    names = {as_text(as_object(model).get("id")) for model in as_list(listed)}
    return names, None if names else errors.UpstreamProtocol("It answers with no list of models.")


def _findings(settings: Settings, names: set[str], error: ServiceError | None) -> Iterator[Finding]:
    state: State = "wrong" if isinstance(error, NO_ANSWER) else "right"
    said = error.detail if error else "It answers."
    yield "region", state, f"{settings.dashscope_region}: {settings.base_url}. {said}"
    workspace, proxy = settings.dashscope_workspace_id, settings.upstream_proxy.get_secret_value()
    yield "workspace", state if workspace else "right", workspace or "none"
    yield "proxy", state if proxy else "right", urlsplit(proxy).hostname or "none"

    if isinstance(error, errors.UpstreamAuthFailed):
        yield "key", "wrong", "is refused; a key works in its own region only"
    else:
        yield ("key", "unknown", "could not be tried") if error else ("key", "right", "is accepted")

    wanted = {settings.model, *settings.allowed_models}
    missing = ", ".join(sorted(wanted - names))
    if not names:
        yield "model", "unknown", "could not be tried"
    elif missing:
        yield "model", "wrong", f"not among the {len(names)} that are offered: {missing}"
    else:
        yield "model", "right", f"offered: {', '.join(sorted(wanted))}"

    prices = Prices(settings)
    unpriced = ", ".join(sorted(model for model in wanted if not prices.known(model)))
    limited = settings.budget_client_cny_per_day or settings.budget_total_cny_per_day
    state = "right" if not unpriced else "wrong" if limited else "unknown"
    yield "prices", state, f"set PRICES for {unpriced}" if unpriced else "known"
