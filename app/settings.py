"""Every knob of the service: name, unit, default and one line of meaning.

Read once at start from the environment, `.env`, `/run/secrets` and `NAME_FILE` variables (for
secrets). Frozen. `0` switches a limit off. An empty variable counts as not given.
"""

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

SECRETS_DIR = Path("/run/secrets")
SECRETS = ("DASHSCOPE_API_KEY", "CLIENT_KEYS", "CLIENT_TOKEN_SECRET")
"""Settings that may also be given as the path of a file, in `NAME_FILE`."""

IMAGE_SEARCH_MODELS = (
    "qwen3.8-max",
    "qwen3.8-flash",
    "qwen3.8-27b",
    "qwen3.7-max",
    "qwen3.7-max-2026-06-08",
    "qwen3.7-plus",
    "qwen3.7-plus-2026-05-26",
    "qwen3.7-flash",
    "qwen3.7-flash-2026-07-15",
    "qwen3.6-plus",
    "qwen3.6-plus-2026-04-02",
    "qwen3.6-flash",
    "qwen3.6-flash-2026-04-16",
    "qwen3.6-35b-a3b",
    "qwen3.5-plus",
    "qwen3.5-plus-2026-04-20",
    "qwen3.5-plus-2026-02-15",
    "qwen3.5-flash",
    "qwen3.5-flash-2026-02-23",
    "qwen3.5-397b-a17b",
    "qwen3.5-122b-a10b",
    "qwen3.5-27b",
    "qwen3.5-35b-a3b",
)
"""Models that DashScope documents, or was seen, to run `image_search` (state of 2026-11)."""

SHARED_HOSTS = {
    "cn-beijing": "dashscope.aliyuncs.com",
    "ap-southeast-1": "dashscope-intl.aliyuncs.com",
    "us-east-1": "dashscope-us.aliyuncs.com",
}
"""Hosts that need no workspace id; the other regions have none."""

OPEN_RELAY = (
    "CLIENT_KEYS: nobody may search yet, and an open relay spends its owner's money; set "
    "CLIENT_KEYS=web:<a long random key>, or CLIENT_TOKEN_SECRET=<32 random characters or more>, "
    "or ALLOW_ANONYMOUS=true"
)

YEAR_S = 31_536_000
"""Bounds all times: a longer one is a slip of the pen, and timers overflow at some length."""

VISIBLE_ASCII = re.compile(r"[!-~]*")
"""What an Authorization field can carry (RFC 9110 §5.5)."""

Seconds = Annotated[float, Field(ge=0, le=YEAR_S, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0)]
Money = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Words = Annotated[tuple[str, ...], NoDecode]


class SettingsError(Exception):
    """The service cannot start like this; the text is one line for the operator's terminal."""


class Settings(BaseSettings):
    """All settings, upper-case in the environment."""

    model_config = SettingsConfigDict(
        env_file=".env",
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
        hide_input_in_errors=True,
    )

    host: str = Field(
        "127.0.0.1",
        pattern=r"^[A-Za-z0-9._:%-]+$",
        description="Address to listen on; `::` for all, those of IPv4 too.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    shutdown_grace_s: Seconds = Field(
        20, description="How long searches under way may go on at shutdown."
    )
    trusted_proxies: Words = Field(
        (), description="Comma-separated CIDRs whose `X-Forwarded-For` is believed."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    log_format: Literal["json", "text"] = Field(
        "json", description="One JSON object a line, or plain text."
    )
    log_prompts: bool = Field(
        default=False, description="Log the prompt of each search when it ends."
    )
    docs: bool = Field(default=False, description="Serve the interactive API page at `/docs`.")

    dashscope_api_key: SecretStr = Field(
        SecretStr(""), description="The key for DashScope. It never leaves the server."
    )
    dashscope_workspace_id: str = Field(
        "", pattern=r"^[A-Za-z0-9-]*$", description="Workspace, such as `ws-0123456789abcdef`."
    )
    dashscope_region: str = Field(
        "cn-beijing", pattern=r"^[a-z0-9-]+$", description="Region of workspace and key."
    )
    dashscope_base_url: str = Field(
        "",
        pattern=r"^$|^https?://[^\s/@?#]+(/[^\s?#]*)?$",
        description="Base URL of the Responses API; wins over workspace and region.",
    )
    model: str = Field("qwen3.7-plus", description="Model of requests that name none.")
    allowed_models: Words = Field(
        (), description="Comma-separated models callers may name; empty: the documented list."
    )
    upstream_connect_timeout_s: Seconds = Field(5, description="Longest wait for a connection.")
    upstream_first_event_timeout_s: Seconds = Field(
        60, description="Longest wait for the first event of an answer."
    )
    upstream_idle_timeout_s: Seconds = Field(180, description="Longest silence inside an answer.")
    upstream_total_timeout_s: Seconds = Field(
        310, description="Longest answer; the upstream's own limit is 300."
    )
    upstream_retries: Count = Field(
        2, le=10, description="Most retries of a call that cannot have been billed."
    )
    upstream_retry_total_s: Seconds = Field(
        20, description="No retry begins later than this after the first attempt."
    )
    upstream_max_event_bytes: int = Field(
        4_194_304, ge=65_536, description="Largest single event taken from the upstream."
    )
    upstream_store: bool = Field(
        default=True,
        description="Let the upstream keep answers; `false` refuses `previous_response_id`.",
    )

    image_max_bytes: Bytes = Field(20_971_520, description="Largest image file taken in.")
    body_max_bytes: Bytes = Field(62_914_560, description="Largest request body taken in.")
    image_max_pixels: Count = Field(120_000_000, description="Most pixels of one image.")
    image_max_side: Count = Field(
        2_048, description="Longer side in pixels to which larger images are scaled down."
    )
    image_workers: Count = Field(
        2, description="Images decoded at once, each in a process of its own."
    )
    image_timeout_s: Seconds = Field(20, description="Longest time that decoding one image takes.")
    image_worker_memory_bytes: Bytes = Field(
        1_073_741_824, description="Memory of each process that decodes images."
    )
    image_inflight_max_bytes: Bytes = Field(
        268_435_456, description="Memory for uploads and images in work, all together."
    )
    upload_idle_timeout_s: Seconds = Field(
        15, description="An upload that sends nothing for this long is ended."
    )
    image_max_count: int = Field(8, ge=1, le=250, description="Most images in one request.")
    prompt_max_chars: Count = Field(8_000, description="Longest prompt, in characters.")

    stream_commit_s: Seconds = Field(
        2, description="How long a stream's status waits for the first upstream event."
    )
    stream_progress_s: Seconds = Field(
        5, description="Silence after which `search.progress` is sent; 0: comment lines instead."
    )
    stream_heartbeat_s: Seconds = Field(
        15, description="Silence after which a comment line is sent where progress events are not."
    )
    stream_linger_s: Seconds = Field(
        30, description="How long a search goes on when its last reader has left."
    )
    stream_send_timeout_s: Seconds = Field(
        30, description="A reader that takes nothing for this long is dropped; it can resume."
    )

    search_retention_s: Seconds = Field(
        600, description="How long an ended search can be read again."
    )
    cache_ttl_s: Seconds = Field(
        300, description="How long an equal request is answered from a finished search."
    )
    search_max_bytes: Bytes = Field(33_554_432, description="Most bytes of one search's events.")
    search_store_max_bytes: Bytes = Field(
        268_435_456, description="Most bytes of all searches' events."
    )

    response_owner_ttl_s: Seconds = Field(
        604_800, description="How long an upstream response can be followed up by its client."
    )

    client_keys: SecretStr = Field(
        SecretStr(""), description="Who may search: `name:key`, comma-separated."
    )
    client_token_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs browser tokens; comma-separated: the first signs, all verify.",
    )
    client_token_ttl_s: int = Field(
        900, ge=1, le=YEAR_S, description="Longest life of a browser token."
    )
    allow_anonymous: bool = Field(default=False, description="Serve callers who show no key.")
    cors_origins: Words = Field(
        (), description="Comma-separated origins whose pages may search, or `*`."
    )
    rate_limit: str = Field("60/minute", description="Requests a caller may make; 0: any number.")
    capacity: Count = Field(200, description="Most searches under way at once.")
    capacity_wait_s: Seconds = Field(1, description="Longest wait for a free place.")
    budget_client_cny_per_day: Money = Field(
        Decimal(0), description="Most that one client may spend in a UTC day, in CNY."
    )
    budget_total_cny_per_day: Money = Field(
        Decimal(0), description="Most that all together may spend in a UTC day, in CNY."
    )
    tools_allowed: Words = Field(
        ("image_search",), description="Comma-separated tools that `/v1` callers may name."
    )
    prices: str = Field("", description="Prices in JSON, over the built-in table.")

    @field_validator(
        "allowed_models", "trusted_proxies", "cors_origins", "tools_allowed", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(ip_network(word)) for word in value)
        except ValueError as exc:
            raise ValueError("must be addresses or networks, such as 10.0.0.0/8") from exc

    @field_validator("dashscope_api_key")
    @classmethod
    def _sendable(cls, value: SecretStr) -> SecretStr:
        if not VISIBLE_ASCII.fullmatch(value.get_secret_value()):
            raise ValueError("must be visible ASCII without spaces")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        least = 4 * self.upstream_max_event_bytes + 1_048_576
        if 0 < self.search_max_bytes < least:
            raise ValueError(
                f"SEARCH_MAX_BYTES: must be at least 4 x UPSTREAM_MAX_EVENT_BYTES + 1 MiB = {least}"
            )
        if self.model not in self.models:
            raise ValueError(
                "MODEL: must be one of ALLOWED_MODELS"
                if self.allowed_models
                else "MODEL: is none that is documented; name it in ALLOWED_MODELS too"
            )
        if not self.dashscope_base_url:
            self._made_base_url()
        if not self.dashscope_api_key.get_secret_value():
            raise ValueError("DASHSCOPE_API_KEY: is needed (or DASHSCOPE_API_KEY_FILE)")
        if not (self.allow_anonymous or self._has(self.client_keys, self.client_token_secret)):
            raise ValueError(OPEN_RELAY)
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """The models that callers may name."""
        return self.allowed_models or IMAGE_SEARCH_MODELS

    @property
    def base_url(self) -> str:
        """Base URL of the Responses API, without a slash at its end."""
        return (self.dashscope_base_url or self._made_base_url()).rstrip("/")

    @staticmethod
    def _has(*secrets: SecretStr) -> bool:
        return any(secret.get_secret_value() for secret in secrets)

    def _made_base_url(self) -> str:
        region, workspace = self.dashscope_region, self.dashscope_workspace_id
        if workspace:
            return f"https://{workspace}.{region}.maas.aliyuncs.com/compatible-mode/v1"
        if region not in SHARED_HOSTS:
            raise ValueError(
                f"DASHSCOPE_REGION: {region} has no shared host; set DASHSCOPE_WORKSPACE_ID too"
            )
        return f"https://{SHARED_HOSTS[region]}/compatible-mode/v1"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, named files, `.env`, then `/run/secrets`."""
        named = NamedFiles(settings_cls, _variables(dotenv_settings) | os.environ)
        return init_settings, env_settings, named, dotenv_settings, file_secret_settings


def _variables(dotenv: PydanticBaseSettingsSource) -> dict[str, str]:
    """What `.env` holds, by upper-case name."""
    assert isinstance(dotenv, DotEnvSettingsSource)  # noqa: S101 - told to the type checker
    return {name.upper(): value for name, value in dotenv.env_vars.items() if value}


class NamedFiles(PydanticBaseSettingsSource):
    """Reads `NAME_FILE` for every secret, as container images do by custom."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._variables = variables

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not used: `__call__` answers for all fields."""
        raise NotImplementedError(field, field_name)  # pragma: no cover - see above

    def __call__(self) -> dict[str, Any]:
        found = {}
        for name in SECRETS:
            if path := self._variables.get(f"{name}_FILE"):
                try:
                    found[name.lower()] = Path(path).read_text(encoding="utf-8").strip()
                except (OSError, UnicodeDecodeError) as exc:
                    raise SettingsError(f"{name}_FILE: cannot be read as text") from exc
        return found


def load(**given: Any) -> Settings:
    """Read the settings; `given` wins over the environment.

    Raises:
        SettingsError: With one line that names the variable and what is wrong with it.
    """
    try:
        return Settings(**given)
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(".env: cannot be read as text") from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        reason = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name}: {reason}" if name else reason) from exc
