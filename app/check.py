"""What an operator should know of the settings: at start, and by `python -m app check`."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import aclosing
from difflib import get_close_matches
from urllib.parse import urlsplit

from app import errors
from app.api.ops import several_workers
from app.errors import ServiceError
from app.guards.money import Prices
from app.results import Usage
from app.settings import SECRETS, Settings, SettingsError, dotenv_variables, load
from app.telemetry import Metrics
from app.upstream.client import UpstreamClient
from app.upstream.lenient import as_list, as_object, as_text, parse

KEY_MIN_CHARS = 16  # A shorter key can be guessed.


def start_line(settings: Settings, version: str) -> str:
    names = ", ".join(sorted(name for name, _ in settings.client_key_pairs))
    who = [f"clients with a key ({names})"] if names else []
    who += ["pages with a browser token"] if settings.token_secrets else []
    who += ["anybody"] if settings.allow_anonymous else []
    client, total = settings.budget_client_cny_per_day, settings.budget_total_cny_per_day
    return (
        f"imagesearch-proxy {version}; upstream: {settings.base_url}; "
        f"may search: {', '.join(who)}; budgets in CNY per day: "
        f"{client or 'none'} for a client, {total or 'none'} for all"
    )


def warnings(settings: Settings) -> Iterator[str]:
    """What is hardly meant, or means what an operator may not expect, a sentence each."""
    known = {name.upper() for name in (*Settings.model_fields, *(f"{one}_file" for one in SECRETS))}
    given = {name.upper() for name in (*os.environ, *dotenv_variables())}
    for name in sorted(given - known):
        for like in get_close_matches(name, known, 1, 0.85):  # One letter in seven may differ.
            yield f"{name}: unknown; is {like} meant?"
    for client, key in settings.client_key_pairs:
        if len(key) < KEY_MIN_CHARS:
            yield f"CLIENT_KEYS: the key of {client} has less than {KEY_MIN_CHARS} characters"
    if 0 < settings.body_max_bytes < settings.image_max_bytes:
        yield "BODY_MAX_BYTES: less than IMAGE_MAX_BYTES, so no such image can be uploaded"
    if settings.has_budgets and not settings.redis_url:
        yield "budgets are kept in memory: per process, and anew at a restart"
    if settings.has_budgets and set(settings.tools_allowed) - {"image_search"}:
        yield "TOOLS_ALLOWED: only the fee of image_search counts to budgets"
    if note := several_workers():
        yield note


def check() -> int:
    """Print a line for each finding, without a paid call; 0 if nothing is wrong, else 1."""
    logging.disable()
    try:
        findings = asyncio.run(_findings(load()))
    except SettingsError as exc:
        findings = [("settings", "wrong", line) for line in str(exc).splitlines()]
    for name, state, text in findings:
        sys.stdout.write(f"{state:8}{name:11}{text}\n")
    return int(any(state == "wrong" for _, state, _ in findings))


async def _findings(settings: Settings) -> list[tuple[str, str, str]]:
    """What was looked at; whether it is `right`, `wrong` or `unknown`; and more about it."""
    proxy = urlsplit(settings.upstream_proxy.get_secret_value()).hostname
    address = f"{settings.base_url}, by the proxy {proxy}" if proxy else settings.base_url
    wanted = {settings.model, *settings.allowed_models}
    found = [("upstream", "right", f"{address}: answers")]
    try:
        async with aclosing(UpstreamClient(settings, Metrics())) as upstream:
            listed = as_object(parse(await upstream.fetch("GET", "/models", {}))).get("data")
        offered = {as_text(as_object(model).get("id")) for model in as_list(listed)}
        if not offered:
            raise errors.UpstreamProtocol("It answers with no list of models.")
        missing = ", ".join(sorted(wanted - offered))
        found.append(("key", "right", "is accepted"))
        state = "wrong" if missing else "right"
        found.append(("models", state, f"not offered: {missing or 'none'}"))
    except errors.UpstreamAuthFailed:
        found.append(("key", "wrong", "is refused; a key works in its own region only"))
    except ServiceError as exc:
        answers = isinstance(exc, errors.UpstreamRateLimited | errors.UpstreamAccount)
        found = [("upstream", "unknown" if answers else "wrong", f"{address}: {exc.detail}")]
    prices = Prices(settings)
    unpriced = ", ".join(sorted(one for one in wanted if not prices.cost_of(one, Usage())))
    state = "right" if not unpriced else "wrong" if settings.has_budgets else "unknown"
    return [*found, ("prices", state, f"set PRICES for {unpriced}" if unpriced else "known")]
