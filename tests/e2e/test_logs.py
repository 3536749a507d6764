"""What an operator reads: the lines that `python -m app` writes."""

import json
from typing import Any

import httpx
import pytest

from tests.e2e.callers import ASKED, BLOG, GUARDED, SECRET, SHOP, bearer, token
from tests.e2e.shipped import shipped
from tests.wire import dial, request

GUARDS = {
    "CLIENT_KEYS": GUARDED["client_keys"],
    "CLIENT_TOKEN_SECRET": SECRET,
    "ALLOW_ANONYMOUS": "true",
    "BUDGET_TOTAL_CNY_PER_DAY": "9",
}
Json = dict[str, Any]


async def ask_much(http: httpx.AsyncClient) -> None:
    def named(name: str, **headers: str) -> dict[str, str]:
        return {"X-Request-ID": name, **headers}

    await http.post("/search?secret=1", json=ASKED, headers=named("one", **SHOP))
    await http.get("/search/srch_x", headers=named("two", **BLOG))
    await http.get("/v1/models", headers=named("three", **bearer(token())))
    await http.post("/search", json=ASKED, headers=named("four", **bearer("sk-wrong")))
    failing = ASKED | {"prompt": "[sim http_401]"}
    await http.post("/search", json=failing, headers=named("five", **SHOP))
    url = str(http.base_url)
    async with dial(url) as wire:
        wire.send(request("GET", "/a%0A2026-01-01%20INFO%20forged", headers=named("six")))
        assert (await wire.head()).status == 404


@pytest.fixture(scope="module", name="lines")
async def logged_lines() -> list[Json]:
    async with shipped(**GUARDS) as (process, http):
        await ask_much(http)
    return [json.loads(line) for line in process.lines]


async def test_each_line_is_an_object_and_each_request_has_one_with_its_client(
    lines: list[Json],
) -> None:
    for line in lines:
        assert line["level"] in {"debug", "info", "warning", "error"}
        assert line["time"]
        assert line["event"]
    answered = {
        line["request_id"]: (line["path"], line["status"], line.get("client"))
        for line in lines
        if line["logger"] == "app.access" and line.get("request_id") is not None
    }
    assert answered["one"] == ("/search", 200, "shop")
    assert answered["two"] == ("/search/srch_x", 404, "blog")
    assert answered["three"] == ("/v1/models", 200, "shop")
    assert answered["four"] == ("/search", 401, None)
    assert answered["five"] == ("/search", 502, "shop")
    assert "secret=1" not in str(lines)


async def test_an_ended_search_is_logged_with_its_client_its_end_and_its_exact_cost(
    lines: list[Json],
) -> None:
    well, failed = (line for line in lines if line["event"] == "search ended")
    assert (well["client"], well["status"], well["outcome"]) == ("shop", "completed", "matched")
    assert float(well["cost_cny"]) > 0.048
    assert well["results"] > 0
    assert (failed["status"], failed["code"]) == ("failed", "upstream_auth_failed")
    assert float(failed["cost_cny"]) == 0
    assert well["search_id"] != failed["search_id"]
    warned = [line for line in lines if line["level"] == "warning"]
    assert any(line.get("code") == "upstream_auth_failed" for line in warned)
    assert any("ALLOW_ANONYMOUS" in line["event"] for line in warned)
    [unpriced] = [line["event"] for line in warned if line["event"].startswith("PRICES")]
    assert "qwen3.8-27b" in unpriced
    assert "qwen3.7-plus" not in unpriced


async def test_a_line_of_text_has_the_fields_too_and_no_value_breaks_out_of_it() -> None:
    async with shipped(**GUARDS, LOG_FORMAT="text") as (process, http):
        await ask_much(http)
    lines = process.lines
    assert not [line for line in lines if line.startswith("2026-01-01 INFO forged")]
    [one] = [line for line in lines if "app.access" in line and '"one"' in line]
    for word in ("INFO", '"/search"', "200", '"shop"'):
        assert word in one
    assert any("search ended" in line and '"shop"' in line for line in lines)
