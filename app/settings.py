"""Every setting of the service: name, unit, default and one line of meaning.

Read once at start, from the environment, `NAME_FILE` variables (for secrets), `.env` and
`/run/secrets`. `0` disables a limit. An empty variable counts as not set. Sizes may be written
`20MB` or `20MiB`, times `20s`.
"""

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

from app import setting_types as types
from app.setting_types import VENDOR, Count, Money, Seconds, Size, Words, checked

SECRETS_DIR = Path("/run/secrets")
NOT_SET = SecretStr("")

OPEN_RELAY = """nobody may search yet, and an open relay spends its owner's money; set \
CLIENT_KEYS=web:<a long random key>, or CLIENT_TOKEN_SECRET=<32 random characters or more>, \
or ALLOW_ANONYMOUS=true"""


class SettingsError(Exception):
    """The service cannot start: one line for each setting that is wrong."""


class Settings(BaseSettings):
    """Environment variables, in upper case; a field checked against others stands below them."""

    model_config = SettingsConfigDict(
        env_file=".env",
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
        validate_default=True,
    )

    # Address to listen on; `::` for all, those of IPv4 too.
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:%-]+$")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000  # Port to listen on; 0 takes a free one.
    # Path prefix under which a proxy in front serves this service, such as `/images`.
    root_path: Annotated[str, Field(pattern=r"^(/[^/\s?#]+)*$")] = ""
    metrics_token: SecretStr = NOT_SET  # Token (`Bearer`) that `/metrics` asks for; empty: open.
    shutdown_grace_s: Seconds = 20  # How long searches under way may go on at shutdown.
    trusted_proxies: types.Networks = ()  # Comma-separated CIDRs whose `X-Forwarded-For` counts.
    log_level: types.LogLevel = "info"  # Least level that is logged.
    log_format: types.LogFormat = "json"  # One JSON object a line, or plain text.
    log_prompts: bool = False  # Log the prompt of each search when it ends.
    docs: bool = False  # Serve the interactive API page at `/docs`.
    web_page: bool = True  # Serve the web page at `/`.

    # The key for DashScope. It never leaves the server.
    dashscope_api_key: Annotated[SecretStr, checked(types.check_upstream_key)] = NOT_SET
    # Base URL of the Responses API; wins over workspace and region.
    dashscope_base_url: Annotated[str, checked(types.check_url, types.BASE_URL)] = ""
    # Workspace, such as `ws-0123456789abcdef`.
    dashscope_workspace_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]*$")] = ""
    # Region of workspace and key.
    dashscope_region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] = "cn-beijing"
    allowed_models: Words = ()  # Comma-separated models callers may name; empty: all documented.
    model: str = "qwen3.7-plus"  # Model of requests that name none.
    # Proxy for calls to the upstream: an `http`, `https` or `socks5` URL.
    upstream_proxy: Annotated[SecretStr, checked(types.check_url, types.PROXY_URL)] = NOT_SET
    # File of certificates (PEM) that the upstream's is checked with; empty: the public ones.
    upstream_ca_file: Annotated[str, checked(types.check_ca_file)] = ""
    upstream_connect_timeout_s: Seconds = 5  # Longest wait for a connection.
    upstream_first_event_timeout_s: Seconds = 60  # Longest wait for the first event of an answer.
    upstream_idle_timeout_s: Seconds = 180  # Longest silence inside an answer.
    upstream_total_timeout_s: Seconds = 310  # Longest answer; the upstream's own limit is 300.
    # Most retries of a call that cannot have been billed.
    upstream_retries: Annotated[int, Field(ge=0, le=10)] = 2
    upstream_retry_total_s: Seconds = 20  # No retry begins later than this after the first attempt.
    # Largest single event accepted from the upstream.
    upstream_max_event_bytes: Annotated[Size, Field(ge=65_536)] = 4_194_304
    upstream_store: bool = True  # Upstream keeps answers; `false` refuses `previous_response_id`.

    image_max_bytes: Size = 20_971_520  # Largest image file accepted.
    body_max_bytes: Size = 62_914_560  # Largest request body accepted.
    image_max_pixels: Count = 120_000_000  # Most pixels of one image.
    image_max_count: Annotated[int, Field(ge=1, le=250)] = 8  # Most images in one request.
    image_max_side: Count = 2_048  # Longer side in pixels to which larger images are scaled down.
    image_workers: Count = 2  # Processes that decode images.
    image_timeout_s: Seconds = 20  # Longest time to decode one image.
    image_worker_memory_bytes: Size = 1_073_741_824  # Most memory of a process that decodes images.
    image_inflight_max_bytes: Size = 268_435_456  # Memory of all uploads and images in work.
    upload_idle_timeout_s: Seconds = 15  # Longest silence inside a request body.
    upload_timeout_s: Seconds = 120  # Longest time for a whole request body.
    prompt_max_chars: Count = 8_000  # Longest prompt, and longest instructions, in characters.

    stream_commit_s: Seconds = 2  # How long a stream's status waits for the first upstream event.
    stream_progress_s: Seconds = 5  # Silence before a `search.progress`; 0: comment lines instead.
    stream_heartbeat_s: Seconds = 15  # Silence before a comment line, where no progress is sent.
    stream_linger_s: Seconds = 30  # How long a search goes on when its last reader has left.
    # A reader that takes nothing for this long is dropped; it can resume.
    stream_send_timeout_s: Seconds = 30

    search_retention_s: Seconds = 600  # How long an ended search can be read again.
    cache_ttl_s: Seconds = 300  # How long an equal request is answered from a finished search.
    search_max_bytes: Size = 33_554_432  # Most bytes of one search's events.
    search_store_max_bytes: Size = 268_435_456  # Most bytes of all searches' events.
    response_owner_ttl_s: Seconds = 604_800  # How long a client can follow up its responses.
    # Redis or Valkey that replicas share, such as `redis://host:6379/0`; empty: in memory.
    redis_url: Annotated[SecretStr, checked(types.check_redis_url)] = NOT_SET
    workers: Annotated[int, Field(ge=1, le=256)] = 1  # Processes; more than 1 need `REDIS_URL`.

    # Signs browser tokens; comma-separated: the first signs, all verify.
    client_token_secret: Annotated[SecretStr, checked(types.parse_token_secrets)] = NOT_SET
    # Longest life of a browser token, in seconds.
    client_token_ttl_s: Annotated[int, Field(ge=1, le=types.YEAR_S)] = 900
    allow_anonymous: bool = False  # Serve callers without a key.
    # Who may search: `name:key`, comma-separated.
    client_keys: Annotated[SecretStr, checked(types.parse_client_keys)] = NOT_SET
    # Comma-separated names that `Host` may have; empty: any, or local ones if anonymous.
    allowed_hosts: types.Hosts = ()
    cors_origins: types.Origins = ()  # Comma-separated origins whose pages may search, or `*`.
    # Requests a caller may make; 0: any number.
    rate_limit: Annotated[str, Field(pattern=types.RATE)] = "60/minute"
    capacity: Count = 200  # Most searches under way at once.
    capacity_wait_s: Seconds = 1  # Longest wait for a free place.
    budget_client_cny_per_day: Money = Decimal(0)  # Most that a client may spend a UTC day, in CNY.
    budget_total_cny_per_day: Money = Decimal(0)  # Most that all may spend a UTC day, in CNY.
    tools_allowed: Words = ("image_search",)  # Comma-separated tools that `/v1` callers may name.
    # Prices in JSON, over the built-in table.
    prices: Annotated[str, checked(types.parse_prices)] = ""
    # CNY for one USD, for built-in prices that are in USD.
    cny_per_usd: Annotated[Money, Field(gt=0)] = Decimal("7.339238")

    @field_validator("dashscope_region", "model", "search_max_bytes", "workers", "client_keys")
    @classmethod
    def _agrees_with_others(cls, value: Any, info: ValidationInfo) -> Any:
        others = info.data  # Without those that were refused, which are reported by themselves.
        match info.field_name:
            case "dashscope_region" if value not in VENDOR.hosts:
                if not (others.get("dashscope_base_url") or others.get("dashscope_workspace_id")):
                    raise ValueError("this region has no shared host; set DASHSCOPE_WORKSPACE_ID")
            case "model" if value not in (others.get("allowed_models") or VENDOR.models):
                raise ValueError("must be one of ALLOWED_MODELS, or without those a documented one")
            case "search_max_bytes" if value > 0:
                # A list of results stands four times in a log.
                least = 4 * others.get("upstream_max_event_bytes", 0) + 1_048_576
                if value < least:
                    rule = f"4 x UPSTREAM_MAX_EVENT_BYTES + 1 MiB = {least}"
                    raise ValueError(f"must be at least {rule}")
            case "workers" if value > 1 and not others.get("redis_url", True):
                raise ValueError("more than 1 need REDIS_URL")
            case "client_keys" if not value:
                ways = others.get("allow_anonymous", True), others.get("client_token_secret", True)
                if not any(ways):
                    raise ValueError(OPEN_RELAY)
        return value

    @property
    def models(self) -> tuple[str, ...]:
        return self.allowed_models or VENDOR.models

    @property
    def base_url(self) -> str:
        """Base URL of the Responses API, without a slash at its end."""
        if self.dashscope_base_url:
            return self.dashscope_base_url.rstrip("/")
        region, workspace = self.dashscope_region, self.dashscope_workspace_id
        host = f"{workspace}.{region}.maas.aliyuncs.com" if workspace else VENDOR.hosts[region]
        return f"https://{host}/compatible-mode/v1"

    @property
    def client_key_pairs(self) -> tuple[tuple[str, str], ...]:
        return types.parse_client_keys(self.client_keys.get_secret_value())

    @property
    def token_secrets(self) -> tuple[str, ...]:
        """The secrets of browser tokens: the first signs, all verify."""
        return types.parse_token_secrets(self.client_token_secret.get_secret_value())

    @property
    def rate(self) -> types.Rate | None:
        """The rate of one caller; `None` is no limit."""
        limit, _, window = self.rate_limit.partition("/")
        return types.Rate(int(limit), types.WINDOWS_S[window]) if int(limit) else None

    @property
    def has_budgets(self) -> bool:
        return bool(self.budget_client_cny_per_day or self.budget_total_cny_per_day)

    @property
    def price_table(self) -> types.PriceTable:
        return types.parse_prices(self.prices)


SECRETS = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
"""Settings that may also be given as the path of a file, in `NAME_FILE`."""


def load(**values: Any) -> Settings:
    """Read the settings, `values` first; `SettingsError` has a line for each bad variable."""
    wrong: dict[str, str] = {}
    try:
        settings = Settings(**(_from_files(values, wrong) | values))
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(".env: cannot be read as text") from exc
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            name, value = str(error["loc"][0]), error["input"]
            # Neither a secret nor a URL that may hold one is shown.
            given = "" if name in SECRETS or value == "" or "@" in str(value) else f" ({value!s})"
            reason = error["msg"].removeprefix("Value error, ")
            wrong.setdefault(name, f"{name.upper()}: {reason}{given}")
    # Outside the handler, whose exception holds the values.
    if wrong:
        raise SettingsError("\n".join(wrong.values()))
    return settings


def dotenv_variables(env_file: Any = ".env") -> Mapping[str, str | None]:
    """What the file says, settings or not, by names in lower case."""
    return DotEnvSettingsSource(Settings, env_file=env_file).env_vars


def _from_files(values: dict[str, Any], wrong: dict[str, str]) -> dict[str, Any]:
    """The secrets of files that `NAME_FILE` names; those that cannot be read go to `wrong`."""
    dotenv, found = dotenv_variables(values.get("_env_file", ".env")), dict[str, Any]()
    for name in SECRETS:
        path = os.environ.get(f"{name.upper()}_FILE") or dotenv.get(f"{name}_file")
        if path and not os.environ.get(name.upper()) and name not in values:
            try:
                found[name] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                wrong[name] = f"{name.upper()}_FILE: cannot be read as text ({path})"
    return found
