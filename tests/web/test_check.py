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


ALL_RIGHT = dict.fromkeys(("upstream", "key", "models", "prices"), "right")


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"UPSTREAM_PROXY": ""}, set()),
        ({"DASHSCOPE_API_KEY": "sk-another-key-0123456789"}, {"key"}),
        (
            {"MODEL": "qwen9", "ALLOWED_MODELS": "qwen9", "BUDGET_TOTAL_CNY_PER_DAY": "5"},
            {"models", "prices"},
        ),
        ({"UPSTREAM_PROXY": "http://user:secret@127.0.0.1:9"}, {"upstream"}),
    ],
)
async def test_what_is_right_or_wrong_is_said_in_a_line_each(
    settings: dict[str, str], wrong: set[str]
) -> None:
    async with simulator() as upstream:
        status, lines = await check(upstream, **settings)
    assert status == bool(wrong)
    assert {name for name, state in states(lines).items() if state == "wrong"} == wrong
    assert wrong or states(lines) == ALL_RIGHT
    for value in settings.values():
        assert "secret" not in "".join(lines)
        assert not value.startswith("sk-") or value not in "".join(lines)


async def test_an_upstream_out_of_reach_leaves_the_key_out_and_bad_settings_are_named() -> None:
    status, lines = await check()
    assert status == 1
    assert states(lines) == {"upstream": "wrong", "prices": "right"}
    status, lines = await check(PORT="x", RATE_LIMIT="often")
    assert status == 1
    assert [re.split("[=:]", line.split()[2])[0] for line in lines] == ["PORT", "RATE_LIMIT"]
