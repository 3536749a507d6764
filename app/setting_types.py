"""Parsers of the settings that are more than a number or a text: what each takes, and refuses.

Every function raises `ValueError` with one sentence that holds nothing of the value.
"""

import re
import ssl
from collections.abc import Callable, Mapping
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_settings import NoDecode

YEAR_S = 31_536_000
"""Upper bound of all times: a longer one is a typing error, and timers overflow at some length."""

PRICE_MAX = 10_000_000
"""Upper bound of a price in CNY, so that sums stay within the 28 digits of `decimal`."""

TOKEN_SECRET_MIN_BYTES = 32
"""RFC 7518 §3.2: an HMAC key is at least as long as the hash."""

TOOL_FEE = "image_search"
"""The name under which `PRICES` has the tool's fee, in CNY per 1,000 calls."""

ANONYMOUS = "anonymous"
"""The name under which all callers without a key are one client."""

UNITS_S = {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
WINDOWS_S = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
DEFAULT_PORTS = {"http": ":80", "https": ":443"}

TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*")
RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(second|minute|hour|day)\s*")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.\-\[\]:_]+")
"""Of any scheme: pages of app shells have such as `capacitor://localhost`. Never `null`."""

CLIENT_KEY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([!-~]{1,512})")
VISIBLE_ASCII = re.compile(r"[!-~]*")
"""What an Authorization field can carry (RFC 9110 §5.5)."""

NOT_IN_URLS = re.compile(r"[\s\x00-\x20\x7f]")


class Rate(NamedTuple):
    """At most `limit` requests in any `window_s` seconds."""

    limit: int
    window_s: int


def parse_seconds(value: object) -> object:
    """A number of seconds from `20`, `20s`, `1.5m`, `250ms`, `2h` or `1d`."""
    if not isinstance(value, str):
        return value
    found = TIME.fullmatch(value)
    if not found or found[2] not in UNITS_S:
        raise ValueError("must be a time, such as 20, 20s, 250ms, 5m or 2h")
    return float(found[1]) * UNITS_S[found[2]]


def parse_words(value: object) -> object:
    """The parts of a comma-separated text."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def parse_rate(text: str) -> Rate | None:
    """A limit such as `60/minute`; `None` for `0`, which is no limit."""
    if text.strip() == "0":
        return None
    found = RATE.fullmatch(text)
    if not found:
        raise ValueError("must be such as 60/minute (or second, hour, day), or 0")
    return Rate(int(found[1]), WINDOWS_S[found[2]]) if int(found[1]) else None


def parse_client_keys(text: str) -> tuple[tuple[str, str], ...]:
    """Pairs of name and key from `name:key,name:key`; a name may have several keys."""
    pairs: list[tuple[str, str]] = []
    owners: dict[str, str] = {}
    for number, part in enumerate(text.split(","), 1):
        if not part.strip():
            continue
        found = CLIENT_KEY.fullmatch(part.strip())
        if not found:
            raise ValueError(f"entry {number} must be name:key, the name of A-Z a-z 0-9 . _ -")
        name, key = found.groups()
        if name == ANONYMOUS:
            raise ValueError(f"{ANONYMOUS} is the name of callers without a key")
        if owners.setdefault(key, name) != name:
            raise ValueError(f"{owners[key]} and {name} must not share a key")
        pairs.append((name, key))
    return tuple(pairs)


def parse_token_secrets(text: str) -> tuple[str, ...]:
    """The secrets of a comma-separated text: the first signs, all verify."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if any(len(secret.encode()) < TOKEN_SECRET_MIN_BYTES for secret in found):
        raise ValueError(
            f"each secret needs {TOKEN_SECRET_MIN_BYTES} bytes or more (openssl rand -hex 32)"
        )
    return found


Price = Annotated[Decimal, Field(ge=0, le=PRICE_MAX, allow_inf_nan=False)]


class PriceTier(BaseModel):
    """CNY per million tokens, for requests of at most `up_to` input tokens (`None`: any)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Price
    output: Price
    up_to: Annotated[int, Field(gt=0)] | None = None


class PriceTable(NamedTuple):
    """What `PRICES` gives: the tool's fee, `None` where it is not given, and tiers by model."""

    fee: Decimal | None
    models: Mapping[str, tuple[PriceTier, ...]]


FEE: TypeAdapter[Decimal] = TypeAdapter(Price)
TIERS: TypeAdapter[tuple[PriceTier, ...]] = TypeAdapter(
    Annotated[
        tuple[PriceTier, ...],
        BeforeValidator(lambda rows: rows if isinstance(rows, list) else [rows]),
        Field(min_length=1),
    ]
)
PRICES: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def parse_prices(text: str) -> PriceTable:
    """Prices by model from JSON: one object of `input` and `output`, or a list of tiers."""
    try:
        given = PRICES.validate_json(text or "{}")
        fee = FEE.validate_python(str(given.pop(TOOL_FEE))) if TOOL_FEE in given else None
        models = {model: TIERS.validate_python(rows) for model, rows in given.items()}
    except ValidationError as exc:
        raise ValueError('must be JSON like {"a-model": {"input": 2, "output": 8}}') from exc
    for model, tiers in models.items():
        bounds = [tier.up_to for tier in tiers]
        limits = [bound for bound in bounds if bound is not None]
        if None in bounds[:-1] or sorted(set(limits)) != limits:
            raise ValueError(f"the tiers of {model} need rising up_to; the last may omit it")
    return PriceTable(fee, models)


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


def check_networks(words: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses and networks as CIDRs."""
    try:
        return tuple(str(ip_network(word)) for word in words)
    except ValueError as exc:
        raise ValueError("must be addresses or networks, such as 10.0.0.0/8") from exc


def check_base_url(text: str) -> str:
    """An `http(s)` URL without credentials, query or fragment; or nothing."""
    if text and not _is_usable(text, ("http", "https"), credentials=False):
        raise ValueError("must be an http or https URL with a host, no credentials and no query")
    return text


def check_proxy(text: str) -> None:
    """The URL of a proxy, which may have credentials; or nothing."""
    if text and not _is_usable(text, ("http", "https", "socks5"), credentials=True):
        raise ValueError("must be an http, https or socks5 URL")


def _is_usable(text: str, schemes: tuple[str, ...], *, credentials: bool) -> bool:
    try:
        url = urlsplit(text)
        well_formed = url.scheme in schemes and url.port != 0 and _names_a_host(url)
    except ValueError:
        return False
    if NOT_IN_URLS.search(text) or url.query or url.fragment:
        return False
    return well_formed and (credentials or "@" not in url.netloc)


def _names_a_host(url: SplitResult) -> bool:
    host = url.hostname or ""
    if "[" in url.netloc or host.replace(".", "").isdigit():
        ip_address(host)
    else:
        host.encode("idna")
    return bool(host)


def check_ca_file(path: str) -> str:
    """The path of a file of certificates; or nothing."""
    try:
        if path:
            ssl.create_default_context(cafile=path)
    except OSError as exc:  # ssl.SSLError is one
        raise ValueError("must be a file of certificates in PEM") from exc
    return path


def check_upstream_key(key: str) -> None:
    """A key that fits the Authorization field."""
    if not key:
        raise ValueError("is required (or DASHSCOPE_API_KEY_FILE)")
    if not VISIBLE_ASCII.fullmatch(key):
        raise ValueError("must be visible ASCII without spaces")


def checked(parse: Callable[[str], object]) -> AfterValidator:
    """Refuse a text or secret that `parse` refuses, and keep it as it was written."""

    def check(value: str | SecretStr) -> str | SecretStr:
        parse(value.get_secret_value() if isinstance(value, SecretStr) else value)
        return value

    return AfterValidator(check)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Lower = BeforeValidator(_lower)
Seconds = Annotated[
    float, BeforeValidator(parse_seconds), Field(ge=0, le=YEAR_S, allow_inf_nan=False)
]
Count = Annotated[int, Field(ge=0)]
Money = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_words)]
