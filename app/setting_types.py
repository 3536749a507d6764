"""Types and parsers of the settings that are more than a number or a text.

Every function raises `ValueError` with one sentence that holds nothing of the value.
"""

import math
import re
import ssl
import tomllib
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, AnyUrl, BaseModel, BeforeValidator, ByteSize, Field, SecretStr
from pydantic_settings import NoDecode

YEAR_S = 31_536_000  # Bound of all times: longer is a typing error, and timers overflow somewhere.
TOKEN_SECRET_MIN_BYTES = 32  # RFC 7518 §3.2: an HMAC key is at least as long as the hash.
TOOL_FEE = "image_search"  # The tool's fee in `PRICES`, in CNY per 1,000 calls.
ANONYMOUS = "anonymous"  # The name under which all callers without a key are one client.

UNITS_S = {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
WINDOWS_S = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
DEFAULT_PORTS = {"http": ":80", "https": ":443"}

TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*")
RATE = r"^(0|\d{1,9}/(second|minute|hour|day))$"
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.\-\[\]:_]+")
"""Of any scheme: pages of app shells have such as `capacitor://localhost`. Never `null`."""
CLIENT_KEY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([!-~]{1,512})")
HOST = r"([\w.-]+|\[[\da-fA-F:.]+\])(:[1-9]\d*)?"
BASE_URL = re.compile(rf"https?://{HOST}(/[\w.~%/-]*)?")
PROXY_URL = re.compile(rf"(https?|socks5)://([^@/\s]+@)?{HOST}/?")


def _seconds(value: object) -> float:
    found = TIME.fullmatch(str(value))
    if not found or found[2] not in UNITS_S:
        raise ValueError("must be a time, such as 20, 20s, 250ms, 5m or 2h")
    return float(found[1]) * UNITS_S[found[2]]


def _words(value: Any) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    return tuple(word.strip() for word in words if word.strip())


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=YEAR_S)]
Count = Annotated[int, Field(ge=0)]
Money = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, ByteSize]  # Such as 20MB or 20MiB.
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Lower = BeforeValidator(str.lower)
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], Lower]
LogFormat = Annotated[Literal["json", "text"], Lower]


class Rate(NamedTuple):
    """At most `limit` requests in any `window_s` seconds."""

    limit: int
    window_s: int


class PriceTier(BaseModel, frozen=True, extra="forbid"):
    """Money per million tokens, for requests of at most `up_to` input tokens (`None`: any)."""

    input: Money
    output: Money
    up_to: Annotated[int, Field(gt=0)] | None = None

    def times(self, factor: Decimal) -> "PriceTier":
        """The tier in another currency."""
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

    fee: Money | None = Field(None, alias="image_search")
    __pydantic_extra__: dict[str, Tiers]

    @property
    def models(self) -> dict[str, tuple[PriceTier, ...]]:
        return self.__pydantic_extra__


class Vendor(BaseModel, frozen=True):
    """What `dashscope.toml` says, which explains it."""

    models: Annotated[tuple[str, ...], BeforeValidator(str.split)]
    in_usd: Words
    hosts: dict[str, str]
    prices: dict[str, PriceTable]


VENDOR = Vendor.model_validate(
    tomllib.loads(
        Path(__file__).with_name("dashscope.toml").read_text("utf-8"), parse_float=Decimal
    )
)


def parse_prices(text: str) -> PriceTable:
    """Prices by model from JSON: one object of `input` and `output`, or a list of tiers."""
    try:
        return PriceTable.model_validate_json(text or "{}")
    except ValueError as exc:
        example = '{"a-model": {"input": 2, "output": 8}}'
        raise ValueError(f"must be JSON like {example}, or lists of tiers") from exc


def parse_client_keys(text: str) -> tuple[tuple[str, str], ...]:
    """Pairs of name and key from `name:key,name:key`."""
    keys: dict[str, str] = {}
    for number, part in enumerate(_words(text), 1):
        found = CLIENT_KEY.fullmatch(part)
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
    lower = origin.lower()
    return lower.removesuffix(DEFAULT_PORTS.get(lower.partition(":")[0], "\n"))


def check_origins(words: tuple[str, ...]) -> tuple[str, ...]:
    """Origins in their normal form; a slash at the end is forgiven, a path is not."""
    found = tuple(normal_origin(word.removesuffix("/")) for word in words)
    if any(origin != "*" and not ORIGIN.fullmatch(origin) for origin in found):
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


def check_url(text: str, pattern: re.Pattern[str]) -> None:
    with suppress(ValueError):  # Of the address or port.
        if not text or (pattern.fullmatch(text) and AnyUrl(text)):
            return
    raise ValueError("must be a URL with a possible host and port, and without a query")


def check_redis_url(text: str) -> None:
    if text and not re.fullmatch(r"(rediss?|unix)://\S+", text):
        raise ValueError("must be a URL of redis://, rediss:// or unix://")


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


Networks = Annotated[Words, AfterValidator(check_networks)]
Hosts = Annotated[Words, AfterValidator(check_hosts)]
Origins = Annotated[Words, AfterValidator(check_origins)]
