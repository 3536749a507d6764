"""Settings from the environment: what is read, and what stops the start."""

import re
from decimal import Decimal

import pytest
from pydantic import SecretStr

from app.settings import Settings, SettingsError, load
from tests.e2e.test_start import run

KEY = "sk-canary"
SECRET = "canary-secret-of-at-least-32-bytes-1"
LEAST = {"DASHSCOPE_API_KEY": KEY, "ALLOW_ANONYMOUS": "true"}
LONG_AGO = "1e300"


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in (LEAST | variables).items():
        monkeypatch.setenv(name, value)
    return load()


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(SettingsError) as refused:
        read(monkeypatch, **variables)
    return str(refused.value)


DEFAULTS = {name.upper(): field.default for name, field in Settings.model_fields.items()}
FLAGS = {name for name, default in DEFAULTS.items() if isinstance(default, bool)}
AMOUNTS = {name for name, default in DEFAULTS.items() if isinstance(default, Decimal)}
COUNTS = {name for name, default in DEFAULTS.items() if isinstance(default, int)} - FLAGS
TIMES_S = {name for name in COUNTS if name.endswith("_S")}
BAD: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(sorted(COUNTS), ("-1", "many")),
    **dict.fromkeys(sorted(TIMES_S), ("-1", "x", "inf", "nan", LONG_AGO)),
    **dict.fromkeys(sorted(FLAGS), ("perhaps",)),
    **dict.fromkeys(sorted(AMOUNTS), ("-1", "x", "nan", "inf")),
    "HOST": ("not a host", "http://0.0.0.0"),
    "PORT": ("http", "70000", "-1"),
    "ROOT_PATH": ("images", "/images/", "/a b", "/a?b", "//a"),
    "LOG_LEVEL": ("loud",),
    "LOG_FORMAT": ("xml",),
    "TRUSTED_PROXIES": ("*", "proxy.example", "10.0.0.0/99", "10.0.0.1/8", "127.0.0.1, x"),
    "DASHSCOPE_API_KEY": ("", "sk canary", "sk-canary\n", "sk-canary-é", '"sk-canary"'),
    "DASHSCOPE_WORKSPACE_ID": ("ws/canary", "ws.evil.example"),
    "DASHSCOPE_REGION": ("CN Beijing", "evil.example/", "eu-central-1"),
    "DASHSCOPE_BASE_URL": (
        *("dashscope", "ftp://a.example", "https://u:p@a.example/v1", "https://"),
        *("https://a:b/v1", "https://a:99999/v1", "https://a:0/v1", "https://:443/v1"),
        *("http://[::1/v1", "http://[v1.a]/v1", "http://256.1.1.1/v1", "https://a\x01b/v1"),
        *("https://☃.example/v1", "https://a:1:2/v1", "https://a:/\x7f"),
    ),
    "MODEL": ("gpt-4o",),
    "ALLOWED_MODELS": ("gpt-4o",),
    "UPSTREAM_PROXY": ("proxy.example:8080", "ftp://canary@a.example", "http://", "http://a:b"),
    "UPSTREAM_CA_FILE": ("/no/such/file", __file__),
    "UPSTREAM_RETRIES": ("-1", "11", "1.5"),
    "UPSTREAM_MAX_EVENT_BYTES": ("0", "1000", "many"),
    "IMAGE_MAX_COUNT": ("0", "251", "x"),
    "SEARCH_MAX_BYTES": ("-1", "x", "1000", "17825791"),
    "CLIENT_KEYS": ("canary", "shop:", "b b:x", "a:canary,b:canary", "a:x,a:y", "anonymous:x"),
    "CLIENT_TOKEN_SECRET": ("canary", f"{SECRET},canary"),
    "CLIENT_TOKEN_TTL_S": ("0", "-1", "x", "99999999999"),
    "ALLOWED_HOSTS": ("https://a.example", "a.example:80", "a.example/x", "*"),
    "CORS_ORIGINS": ("app.example", "https://a.example/x", "null", "https://*.example", "http://é"),
    "REDIS_URL": ("redis", "http://canary@a.example", "redis://", "redis://a b"),
    "WORKERS": ("0", "2", "many"),
    "METRICS_TOKEN": (),
    "RATE_LIMIT": ("60", "many", "60/week", "-1/minute"),
    "TOOLS_ALLOWED": (),
    "CNY_PER_USD": ("0", "-1", "x", "nan"),
    "PRICES": ("{", "[]", '{"m": 1}', '{"image_search": -1}'),
}
"""Of the two without bad values, what nobody can name or show is not matched by any request."""

ELSEWHERE = {"ALLOWED_MODELS": "MODEL"}
"""Variables that are refused under the name of the one that they contradict."""


def test_every_setting_has_its_bad_values() -> None:
    assert sorted(BAD) == sorted(DEFAULTS)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_a_bad_value_is_refused_in_one_line_that_names_the_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = refusal(monkeypatch, **{name: value})
    assert re.match(rf"{ELSEWHERE.get(name, name)}: \w", line)
    assert "\n" not in line
    if isinstance(DEFAULTS[name], SecretStr) or "u:p@" in value:
        assert "given" not in line
        assert "canary" not in line
    elif name not in ELSEWHERE:
        assert line.endswith(f"({value})")


def test_every_bad_value_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = {name: values[0] for name, values in BAD.items() if values and name not in ELSEWHERE}
    lines = refusal(monkeypatch, **first).splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == sorted(first)


SIZES = {"20MB": 20_000_000, "20MiB": 20_971_520, "1 GB": 10**9}
TIMES = {"20s": 20, "20": 20, "1.5m": 90, "250ms": 0.25, "2h": 7_200, "1d": 86_400}


def test_a_size_or_a_time_may_have_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, size_bytes in SIZES.items():
        assert read(monkeypatch, IMAGE_MAX_BYTES=text).image_max_bytes == size_bytes
    for text, time_s in TIMES.items():
        assert read(monkeypatch, STREAM_LINGER_S=text).stream_linger_s == time_s


NO_ZERO = {name for name, values in BAD.items() if "0" in values}


@pytest.mark.parametrize("name", sorted((COUNTS | AMOUNTS) - NO_ZERO))
def test_every_limit_takes_zero(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert getattr(read(monkeypatch, **{name: "0"}), name.lower()) == 0


@pytest.mark.parametrize("name", sorted(set(BAD) - set(LEAST)))
def test_an_empty_variable_is_as_none_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose files pass on what is not set."""
    assert getattr(read(monkeypatch, **{name: ""}), name.lower()) == DEFAULTS[name]


VENDOR, BY_WORKSPACE = "aliyuncs.com/compatible-mode/v1", {"DASHSCOPE_WORKSPACE_ID": "ws-1"}
URLS: list[tuple[dict[str, str], str]] = [
    ({}, f"https://dashscope.{VENDOR}"),
    ({"DASHSCOPE_REGION": "ap-southeast-1"}, f"https://dashscope-intl.{VENDOR}"),
    (BY_WORKSPACE, f"https://ws-1.cn-beijing.maas.{VENDOR}"),
    ({"DASHSCOPE_BASE_URL": "https://bücher.example:8443/v1"}, "https://bücher.example:8443/v1"),
    (BY_WORKSPACE | {"DASHSCOPE_BASE_URL": "http://sim:9000/v1/"}, "http://sim:9000/v1"),
]


@pytest.mark.parametrize(("variables", "url"), URLS)
def test_the_upstreams_address_follows_from_what_is_given(
    variables: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(monkeypatch, **variables).base_url == url


def test_lists_are_split_and_words_may_be_written_large(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        monkeypatch,
        ALLOWED_MODELS=" qwen3.7-plus , other,",
        TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8",
        LOG_LEVEL="INFO",
    )
    assert settings.models == ("qwen3.7-plus", "other")
    assert settings.trusted_proxies == ("127.0.0.1/32", "10.0.0.0/8")
    assert settings.log_level == "info"
    assert set(read(monkeypatch, ALLOWED_MODELS="").models) > {"qwen3.7-plus", "qwen3.8-max"}


def test_a_model_that_is_not_documented_is_allowed_by_naming_it_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for model, allowed, blamed in (("new", "", "ALLOWED_MODELS"), ("qwen3.7-plus", "new", "MODEL")):
        assert blamed in refusal(monkeypatch, MODEL=model, ALLOWED_MODELS=allowed)
    assert read(monkeypatch, MODEL="new", ALLOWED_MODELS="new").models == ("new",)


WAYS_OUT = ("CLIENT_KEYS=web:", "CLIENT_TOKEN_SECRET=", "ALLOW_ANONYMOUS=true")


async def test_a_start_that_is_refused_ends_with_status_2_and_says_what_would_help() -> None:
    for variables, words in (
        ({"DASHSCOPE_API_KEY": KEY}, WAYS_OUT),
        (LEAST | {"CLIENT_KEYS": "canary"}, ("CLIENT_KEYS",)),
    ):
        status, out, err = await run(**variables)
        assert (status, out) == (2, "")
        assert not re.search("Traceback|canary", err)
        assert [word for word in words if word not in err] == []
