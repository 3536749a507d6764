"""What an operator should read at start: one line of what runs, and a warning for each doubt."""

import os
from difflib import get_close_matches

from pydantic_settings import DotEnvSettingsSource

from app.api.ops import several_workers
from app.guards.prices import Prices
from app.setting_types import TOOL_FEE
from app.settings import SECRETS, Settings

CLIENT_KEY_MIN_CHARS = 16
"""A shorter key can be guessed."""
LIKENESS = 0.85
"""`difflib`'s ratio from which a variable is a setting's name misspelt: one letter in seven."""


def start_line(settings: Settings, version: str) -> str:
    """Version, upstream, who may search, and budgets."""
    clients = ", ".join(sorted(name for name, _ in settings.client_key_pairs))
    ways = {
        f"clients with a key ({clients})": clients,
        "pages with a browser token": settings.token_secrets,
        "anybody": settings.allow_anonymous,
    }
    who = ", ".join(way for way, is_open in ways.items() if is_open)
    client, total = settings.budget_client_cny_per_day, settings.budget_total_cny_per_day
    return (
        f"imagesearch-proxy {version}; upstream: {settings.base_url}; may search: {who}; "
        f"budgets in CNY per day: {client or 'none'} for a client, {total or 'none'} for all"
    )


def warnings(settings: Settings) -> list[str]:
    """What the settings mean that an operator may not expect, a sentence each."""
    found = [
        f"CLIENT_KEYS: the key of {name} has less than {CLIENT_KEY_MIN_CHARS} characters"
        for name, key in settings.client_key_pairs
        if len(key) < CLIENT_KEY_MIN_CHARS
    ]
    if 0 < settings.body_max_bytes < settings.image_max_bytes:
        found.append("BODY_MAX_BYTES: less than IMAGE_MAX_BYTES, so no such image can be uploaded")
    if settings.allow_anonymous:
        found.append("ALLOW_ANONYMOUS: everybody who can reach this service may search")
    if settings.budget_client_cny_per_day or settings.budget_total_cny_per_day:
        if not settings.redis_url.get_secret_value():
            found.append("budgets are kept in memory: per process, and anew at a restart")
        if set(settings.tools_allowed) - {TOOL_FEE}:
            found.append("TOOLS_ALLOWED: only the fee of image_search counts to budgets")
    prices = Prices(settings)
    if unpriced := [model for model in settings.models if not prices.known(model)]:
        found.append(f"PRICES: none known for {', '.join(unpriced)}")
    if note := several_workers():
        found.append(note)
    return found


def misspelt() -> list[str]:
    """Variables, of the environment and of `.env`, that are no setting but nearly one."""
    known = {name.upper() for name in Settings.model_fields}
    known |= {f"{name}_FILE".upper() for name in SECRETS}
    given = {name.upper() for name in (*os.environ, *DotEnvSettingsSource(Settings).env_vars)}
    near = {name: get_close_matches(name, known, 1, LIKENESS) for name in sorted(given - known)}
    return [f"{name}: unknown; is {like[0]} meant?" for name, like in near.items() if like]
