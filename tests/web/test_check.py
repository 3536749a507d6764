"""`python -m app check`: a look at the settings and at the upstream, without a search."""

import asyncio
import os
import re
import sys

import pytest

from tests.processes import KEY, ROOT, Process, simulator


async def check(upstream: Process | None = None, **settings: str) -> tuple[int | None, list[str]]:
    """Run the command under these settings only; its exit status and its lines."""
    url = f"{upstream.url}/compatible-mode/v1" if upstream else "http://127.0.0.1:9/v1"
    given = {"DASHSCOPE_API_KEY": KEY, "DASHSCOPE_BASE_URL": url, "ALLOW_ANONYMOUS": "true"}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "check"),
        cwd="/",
        env=environment | given | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    assert err == b""
    return child.returncode, out.decode().splitlines()


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
        ({"MODEL": "qwen9", "ALLOWED_MODELS": "qwen9"}, {"model"}),
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


async def test_an_upstream_that_cannot_be_reached_leaves_the_key_open() -> None:
    status, lines = await check()
    assert status == 1
    found = states(lines)
    assert (found["region"], found["key"], found["model"]) == ("wrong", "unknown", "unknown")


async def test_bad_settings_are_named_in_a_line_each() -> None:
    status, lines = await check(PORT="x", RATE_LIMIT="often")
    assert status == 1
    assert [re.split("[=:]", line.split()[2])[0] for line in lines] == ["PORT", "RATE_LIMIT"]
