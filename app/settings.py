"""Every setting of the service: name, unit, default and one line of meaning; above, their types.

Read once at start, from the environment, `NAME_FILE` variables (for secrets), `.env` and
`/run/secrets`. `0` disables a limit. An empty variable counts as not set. Sizes may be written
`20MB` or `20MiB`, times `20s`. Errors of parsers say nothing of the value.
"""

import math
import os
import re
import ssl
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

YEAR_S = 31_536_000  # Bound of all times: longer is a typing error, and timers overflow somewhere.
TOKEN_SECRET_MIN_BYTES = 32  # RFC 7518 §3.2: an HMAC key is at least as long as the hash.
ANONYMOUS = "anonymous"  # The name under which all callers without a key are one client.

UNITS_S = {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
WINDOWS_S = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}

HOST = r"([\w.-]+|\[[\da-fA-F:.]+\])(:[1-9]\d*)?"
BASE_URL = re.compile(rf"https?://{HOST}(/[\w.~%/-]*)?")
PROXY_URL = re.compile(rf"(https?|socks5)://([^@/\s]+@)?{HOST}/?")
REDIS_URL = re.compile(r"(rediss?|unix)://\S+")


def _seconds(value: object) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value))
    if not found or found[2] not in UNITS_S:
        raise ValueError("must be a time, such as 20, 20s, 250ms, 5m or 2h")
    return float(found[1]) * UNITS_S[found[2]]


def _words(value: Any) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    return tuple(word.strip() for word in words if word.strip())


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=YEAR_S)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, ByteSize]  # Such as 20MB or 20MiB.
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
RateLimit = Annotated[str, Field(pattern=r"^(0|\d{1,9}/(second|minute|hour|day))$")]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)]
LogFormat = Annotated[Literal["json", "text"], BeforeValidator(str.lower)]


class PriceTier(BaseModel, frozen=True, extra="forbid"):
    """Money per million tokens, for requests of at most `up_to` input tokens (`None`: any)."""

    input: Amount
    output: Amount
    up_to: Annotated[int, Field(gt=0)] | None = None

    def times(self, factor: Decimal) -> "PriceTier":
        return PriceTier(input=self.input * factor, output=self.output * factor, up_to=self.up_to)


def _rising(tiers: tuple[PriceTier, ...]) -> tuple[PriceTier, ...]:
    bounds = [tier.up_to or math.inf for tier in tiers]
    if not bounds or bounds != sorted(set(bounds)):
        raise ValueError("up_to must rise")
    return tiers


Tiers = Annotated[
    tuple[PriceTier, ...],
    BeforeValidator(lambda rows: rows if isinstance(rows, list) else [rows]),
    AfterValidator(_rising),
]


class PriceTable(BaseModel, frozen=True, extra="allow"):
    """What `PRICES` gives: the tool's fee, `None` where it is not given, and tiers by model."""

    fee: Amount | None = Field(None, alias="image_search")
    __pydantic_extra__: dict[str, Tiers]


class Vendor(BaseModel, frozen=True):
    """What `dashscope.toml` says, which explains it."""

    models: Annotated[tuple[str, ...], BeforeValidator(str.split)]
    in_usd: Words
    hosts: dict[str, str]
    price_tables: dict[str, PriceTable]


DASHSCOPE = Path(__file__).with_name("dashscope.toml").read_text("utf-8")
VENDOR = Vendor.model_validate(tomllib.loads(DASHSCOPE, parse_float=Decimal))


def parse_prices(text: str) -> PriceTable:
    """Prices by model from JSON: one object of `input` and `output`, or a list of tiers."""
    try:
        return PriceTable.model_validate_json(text or "{}")
    except ValueError as exc:
        rule = 'must be JSON like {"a-model": {"input": 2, "output": 8}}, or lists of tiers'
        raise ValueError(rule) from exc


def parse_client_keys(text: str) -> tuple[tuple[str, str], ...]:
    """Pairs of name and key from `name:key,name:key`."""
    keys: dict[str, str] = {}
    for number, part in enumerate(_words(text), 1):
        found = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([!-~]{1,512})", part)
        if not found or found[1] == ANONYMOUS:
            raise ValueError(f"entry {number} must be name:key (A-Z a-z 0-9 . _ -, not anonymous)")
        name, key = found.groups()
        if name in keys or key in keys.values():
            raise ValueError(f"entry {number} ({name}) has the name or the key of another")
        keys[name] = key
    return tuple(keys.items())


def parse_token_secrets(text: str) -> tuple[str, ...]:
    """The secrets of a comma-separated text: the first signs, all verify."""
    found = _words(text)
    if any(len(secret.encode()) < TOKEN_SECRET_MIN_BYTES for secret in found):
        raise ValueError(f"each needs {TOKEN_SECRET_MIN_BYTES} bytes (openssl rand -hex 32)")
    return found


def normal_origin(origin: str) -> str:
    """An origin as browsers send it: lower case, no default port (WHATWG HTML, "origin")."""
    return re.sub(r"^(http://.*):80$|^(https://.*):443$", r"\1\2", origin.lower())


def check_origins(words: tuple[str, ...]) -> tuple[str, ...]:
    """Origins in their normal form; a slash at the end is forgiven, a path is not."""
    found = tuple(normal_origin(word.removesuffix("/")) for word in words)
    # Of any scheme: pages of app shells have such as `capacitor://localhost`. Never `null`.
    if not all(re.fullmatch(r"[a-z][a-z0-9+.-]*://[a-z0-9.\-\[\]:_]+|\*", one) for one in found):
        raise ValueError("must be such as https://app.example, without a path, or *")
    return found


def check_hosts(words: tuple[str, ...]) -> tuple[str, ...]:
    """Host names and addresses in lower case, without the brackets of IPv6."""
    if not all(re.fullmatch(r"[\w.-]+|\[?[\da-fA-F:.]+\]?", word, re.ASCII) for word in words):
        raise ValueError("must be names such as search.example, without scheme and port")
    return tuple(word.lower().strip("[]").removesuffix(".") for word in words)


def check_networks(words: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(word)) for word in words)
    except ValueError as exc:
        raise ValueError("must be addresses or networks, such as 10.0.0.0/8") from exc


def check_service_url(text: str, pattern: re.Pattern[str]) -> None:
    with suppress(ValueError):  # Of the address or port, which a socket's path has not.
        if not text or (pattern.fullmatch(text) and (text.startswith("unix:") or AnyUrl(text))):
            return
    raise ValueError("must be a URL of a possible scheme, host and port, without a query")


def check_ca_file(path: str) -> None:
    try:
        if path:
            ssl.create_default_context(cafile=path)
    except OSError as exc:  # ssl.SSLError is one
        raise ValueError("must be a file of certificates in PEM") from exc


def check_upstream_key(key: str) -> None:
    # What an Authorization field can carry (RFC 9110 §5.5); Docker keeps the quotes of env files.
    if not re.fullmatch("[!-~]+", key) or key[0] in "\"'":
        raise ValueError("is required (or DASHSCOPE_API_KEY_FILE), as ASCII without space or quote")


def checked(parse: Callable[..., object], *options: object) -> AfterValidator:
    """Refuse a text or secret that `parse` refuses, and keep it as it was written."""

    def check(value: str | SecretStr) -> str | SecretStr:
        parse(value.get_secret_value() if isinstance(value, SecretStr) else value, *options)
        return value

    return AfterValidator(check)


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
        secrets_dir="/run/secrets" if Path("/run/secrets").is_dir() else None,
        validate_default=True,
    )

    # Address to listen on; `::` for all, those of IPv4 too.
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:%-]+$")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000  # Port to listen on; 0 takes a free one.
    # Path prefix under which a proxy in front serves this service, such as `/images`.
    root_path: Annotated[str, Field(pattern=r"^(/[^/\s?#]+)*$")] = ""
    metrics_token: SecretStr = NOT_SET  # Token (`Bearer`) that `/metrics` asks for; empty: open.
    shutdown_grace_s: Seconds = 20  # How long searches under way may go on at shutdown.
    # Comma-separated CIDRs whose `X-Forwarded-For` counts.
    trusted_proxies: Annotated[Words, AfterValidator(check_networks)] = ()
    log_level: LogLevel = "info"  # Least level that is logged.
    log_format: LogFormat = "json"  # One JSON object a line, or plain text.
    log_prompts: bool = False  # Log the prompt of each search when it ends.
    docs: bool = False  # Serve the interactive API page at `/docs`.
    web_page: bool = True  # Serve the web page at `/`.

    # The key for DashScope. It never leaves the server.
    dashscope_api_key: Annotated[SecretStr, checked(check_upstream_key)] = NOT_SET
    # Base URL of the Responses API; wins over workspace and region.
    dashscope_base_url: Annotated[str, checked(check_service_url, BASE_URL)] = ""
    # Workspace, such as `ws-0123456789abcdef`.
    dashscope_workspace_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]*$")] = ""
    # Region of workspace and key.
    dashscope_region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] = "cn-beijing"
    allowed_models: Words = ()  # Comma-separated models callers may name; empty: all documented.
    model: str = "qwen3.7-plus"  # Model of requests that name none.
    # Proxy for calls to the upstream: an `http`, `https` or `socks5` URL.
    upstream_proxy: Annotated[SecretStr, checked(check_service_url, PROXY_URL)] = NOT_SET
    # File of certificates (PEM) that the upstream's is checked with; empty: the public ones.
    upstream_ca_file: Annotated[str, checked(check_ca_file)] = ""
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
    redis_url: Annotated[SecretStr, checked(check_service_url, REDIS_URL)] = NOT_SET
    workers: Annotated[int, Field(ge=1, le=256)] = 1  # Processes; more than 1 need `REDIS_URL`.

    # Signs browser tokens; comma-separated: the first signs, all verify.
    client_token_secret: Annotated[SecretStr, checked(parse_token_secrets)] = NOT_SET
    # Longest life of a browser token, in seconds.
    client_token_ttl_s: Annotated[int, Field(ge=1, le=YEAR_S)] = 900
    allow_anonymous: bool = False  # Serve callers without a key.
    # Who may search: `name:key`, comma-separated.
    client_keys: Annotated[SecretStr, checked(parse_client_keys)] = NOT_SET
    # Comma-separated names that `Host` may have; empty: any, or local ones if anonymous.
    allowed_hosts: Annotated[Words, AfterValidator(check_hosts)] = ()
    # Comma-separated origins whose pages may search, or `*`.
    cors_origins: Annotated[Words, AfterValidator(check_origins)] = ()
    # Requests a caller may make; 0: any number.
    rate_limit: RateLimit = "60/minute"
    capacity: Count = 200  # Most searches under way at once.
    capacity_wait_s: Seconds = 1  # Longest wait for a free place.
    budget_client_cny_per_day: Amount = Decimal(0)  # Most a client may spend a UTC day, in CNY.
    budget_total_cny_per_day: Amount = Decimal(0)  # Most that all may spend a UTC day, in CNY.
    tools_allowed: Words = ("image_search",)  # Comma-separated tools that `/v1` callers may name.
    # Prices in JSON, over the built-in table.
    prices: Annotated[str, checked(parse_prices)] = ""
    # CNY for one USD, for built-in prices that are in USD.
    cny_per_usd: Annotated[Amount, Field(gt=0)] = Decimal("7.339238")

    @field_validator("dashscope_region", "model", "search_max_bytes", "workers", "client_keys")
    @classmethod
    def _agrees_with_others(cls, value: Any, info: ValidationInfo) -> Any:
        others = info.data  # Without those that were refused, which are reported by themselves.
        others_may = others.get("allow_anonymous", True) or others.get("client_token_secret", True)
        # A list of results stands four times in a log.
        least = 4 * others.get("upstream_max_event_bytes", 0) + 1_048_576
        match info.field_name:
            case "dashscope_region" if value not in VENDOR.hosts:
                if not (others.get("dashscope_base_url") or others.get("dashscope_workspace_id")):
                    raise ValueError("this region has no shared host; set DASHSCOPE_WORKSPACE_ID")
            case "model" if value not in (others.get("allowed_models") or VENDOR.models):
                raise ValueError("must be one of ALLOWED_MODELS, or without those a documented one")
            case "search_max_bytes" if 0 < value < least:
                raise ValueError(f"must be at least 4 x UPSTREAM_MAX_EVENT_BYTES + 1 MiB = {least}")
            case "workers" if value > 1 and not others.get("redis_url", True):
                raise ValueError("more than 1 need REDIS_URL")
            case "client_keys" if not (value or others_may):
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
        return parse_client_keys(self.client_keys.get_secret_value())

    @property
    def token_secrets(self) -> tuple[str, ...]:
        return parse_token_secrets(self.client_token_secret.get_secret_value())

    @property
    def rate(self) -> tuple[int, int] | None:
        """How many requests a caller may make in how many seconds; `None`: any number."""
        limit, _, window = self.rate_limit.partition("/")
        return (int(limit), WINDOWS_S[window]) if int(limit) else None

    @property
    def has_budgets(self) -> bool:
        return bool(self.budget_client_cny_per_day or self.budget_total_cny_per_day)


SECRETS = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
"""Settings that may also be given as the path of a file, in `NAME_FILE`."""


def load(**values: Any) -> Settings:
    """Read the settings, `values` first; `SettingsError` has a line for each bad variable."""
    wrong: dict[str, str] = {}
    try:
        dotenv = dotenv_variables(values.get("_env_file", ".env"))
        for name in SECRETS:
            path = os.environ.get(f"{name.upper()}_FILE") or dotenv.get(f"{name}_file")
            if path and not os.environ.get(name.upper()) and name not in values:
                try:
                    values[name] = Path(path).read_text(encoding="utf-8").strip()
                except (OSError, UnicodeDecodeError):
                    wrong[name] = f"{name.upper()}_FILE: cannot be read as text ({path})"
        settings = Settings(**values)
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
