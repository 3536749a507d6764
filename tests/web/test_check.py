"""`python -m app check`: a look at the settings and at the upstream, without a search."""

import re

import pytest

from tests.e2e.test_start import LEAST, run
from tests.processes import Process, simulator


async def check(upstream: Process | None = None, **settings: str) -> tuple[int | None, list[str]]:
    """Run the command under these settings only; its exit status and its lines."""
    given = LEAST | settings
    if upstream:
        given["DASHSCOPE_BASE_URL"] = f"{upstream.url}/compatible-mode/v1"
    status, out, err = await run("check", **given)
    assert err == ""
    return status, out.splitlines()


def states(lines: list[str]) -> dict[str, str]:
    return {line.split()[1]: line.split()[0] for line in lines}


async def test_what_is_right_is_said_in_a_line_each() -> None:
    async with simulator() as upstream:
        status, lines = await check(upstream, UPSTREAM_PROXY="")
    names = ["region", "workspace", "proxy", "key", "model", "prices"]
    assert status == 0
    assert states(lines) == dict.fromkeys(names, "right")


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"DASHSCOPE_API_KEY": "sk-another-key-0123456789"}, {"key"}),
        (
            {"MODEL": "qwen9", "ALLOWED_MODELS": "qwen9", "BUDGET_TOTAL_CNY_PER_DAY": "5"},
            {"model", "prices"},
        ),
        ({"UPSTREAM_PROXY": "http://user:secret@127.0.0.1:9"}, {"region", "proxy"}),
    ],
)
async def test_what_is_wrong_is_named_and_no_search_is_made(
    settings: dict[str, str], wrong: set[str]
) -> None:
    async with simulator() as upstream:
        status, lines = await check(upstream, **settings)
    assert status == 1
    assert {name for name, state in states(lines).items() if state == "wrong"} == wrong
    for value in settings.values():
        assert "secret" not in "".join(lines)
        assert not value.startswith("sk-") or value not in "".join(lines)


async def test_an_upstream_out_of_reach_leaves_the_key_open_and_bad_settings_are_named() -> None:
    status, lines = await check()
    assert status == 1
    assert (
        states(lines).items() >= {"region": "wrong", "key": "unknown", "model": "unknown"}.items()
    )
    status, lines = await check(PORT="x", RATE_LIMIT="often")
    assert status == 1
    assert [re.split("[=:]", line.split()[2])[0] for line in lines] == ["PORT", "RATE_LIMIT"]
