"""What an operator should read at start: one line of what runs, and a warning for each doubt."""

import multiprocessing
import os
from difflib import get_close_matches

from pydantic_settings import DotEnvSettingsSource

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
    """Settings that are allowed and hardly meant, a sentence each."""
    found = [
        f"CLIENT_KEYS: the key of {name} has less than {CLIENT_KEY_MIN_CHARS} characters"
        for name, key in settings.client_key_pairs
        if len(key) < CLIENT_KEY_MIN_CHARS
    ]
    if 0 < settings.body_max_bytes < settings.image_max_bytes:
        found.append("BODY_MAX_BYTES: less than IMAGE_MAX_BYTES, so no such image can be uploaded")
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


def several_workers() -> str | None:
    """What breaks if a process manager such as `uvicorn --workers` runs more than this process."""
    if multiprocessing.parent_process() is None:
        return None
    return (
        "runs as a worker process: of several, each has searches, budgets and rates of its own, "
        "and a search is found by one of them only; run one worker"
    )
