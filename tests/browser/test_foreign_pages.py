"""What a real browser lets pages of other sites do here, and what it lets them read."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.browser.chromium import needed, showing
from tests.browser.page import Page
from tests.e2e.callers import ASKED, GUARDED, token
from tests.service import running, served

ASKS = """<!doctype html><title>A page with tokens</title><script>
const ask = async (token) => {
  const headers = {Authorization: "Bearer " + token, "Content-Type": "application/json"};
  const sent = {method: "POST", headers, body: %(asked)s};
  try {
    const answer = await fetch(%(service)s + "/search", sent);
    const said = await answer.json();
    return [answer.status, said.code || said.status];
  } catch (error) {
    return [0, String(error)];
  }
};
(async () => {
  const told = [];
  for (const token of %(tokens)s) told.push(await ask(token));
  await fetch("/told", {method: "POST", body: JSON.stringify(told)});
})();
</script>"""


async def test_a_page_reads_why_its_token_is_refused(tmp_path: Path) -> None:
    needed()
    page = Page()
    settings: dict[str, Any] = GUARDED | {"cors_origins": ""}
    async with (
        asyncio.timeout(100),
        served(page.app) as origin,
        running(**settings) as service,
    ):
        tokens = [
            token(origin=f"{origin}/"),
            token(origin=origin, exp=1),
            token(origin="https://another.example"),
            token(),
        ]
        page.html = ASKS % {
            "service": json.dumps(service.url),
            "asked": json.dumps(json.dumps(ASKED)),
            "tokens": json.dumps(tokens),
        }
        async with showing(origin, tmp_path):
            assert await page.told == [
                [200, "completed"],
                [401, "unauthorized"],
                [403, "origin_not_allowed"],
                [403, "origin_not_allowed"],
            ]
