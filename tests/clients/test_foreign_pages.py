"""What a real browser lets pages of other sites do here, and what it lets them read."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.clients.chromium import needed, showing
from tests.clients.cutting_proxy import cutting
from tests.clients.page import Page
from tests.e2e.callers import ASKED, GUARDED, token
from tests.service import running, served

WITHOUT_LEAVE = """<!doctype html><title>A page that was not asked</title>
<iframe name=frame></iframe>
<script>
const service = %(service)s, asked = %(asked)s;
const stream = service + "/search/stream?" + new URLSearchParams(asked);
const form = new FormData();
for (const name in asked) form.append(name, asked[name]);

const opened = (method, action, enctype) => new Promise((done) => {
  const sent = document.body.appendChild(document.createElement("form"));
  Object.assign(sent, {method, action, enctype, target: "frame"});
  for (const name in asked)
    sent.append(Object.assign(document.createElement("input"), {name, value: asked[name]}));
  document.querySelector("iframe").onload = done;
  sent.submit();
});
const given = (tag, more) => new Promise((done) => {
  const given = Object.assign(document.createElement(tag), more, {onload: done, onerror: done});
  document.body.append(given);
});
const mode = "no-cors", Accept = "text/event-stream";

(async () => {
  await fetch(stream, {mode, headers: {Accept}});
  await fetch(service + "/search", {mode, method: "POST", body: form});
  await fetch(service + "/search/stream", {mode, method: "POST", body: form});
  await fetch(service + "/search", {mode, method: "POST", body: JSON.stringify(asked)});
  await fetch(stream, {headers: {Accept}}).catch(() => {});
  await given("img", {src: stream});
  await given("script", {src: stream});
  await new Promise((done) => new EventSource(stream).onerror = done);
  await opened("POST", service + "/search", "multipart/form-data");
  await opened("POST", service + "/search/stream", "text/plain");
  await opened("GET", service + "/search/stream", "");
  await fetch("/told", {method: "POST", body: "true"});
})();
</script>"""


REFUSED = [
    # in the order of the script
    ("GET", "/search/stream", "origin_not_allowed"),
    ("POST", "/search", "origin_not_allowed"),
    ("POST", "/search/stream", "origin_not_allowed"),
    ("POST", "/search", "origin_not_allowed"),
    ("GET", "/search/stream", "origin_not_allowed"),
    ("GET", "/search/stream", "not_acceptable"),
    ("GET", "/search/stream", "not_acceptable"),
    ("GET", "/search/stream", "origin_not_allowed"),
    ("POST", "/search", "origin_not_allowed"),
    ("POST", "/search/stream", "origin_not_allowed"),
    ("GET", "/search/stream", "not_acceptable"),
]


async def test_a_page_that_was_not_asked_starts_no_search_in_any_way_that_a_browser_has(
    tmp_path: Path,
) -> None:
    needed()
    page = Page()
    async with (
        asyncio.timeout(100),
        served(page.app) as origin,
        running() as service,
        cutting(service.url) as proxy,
    ):
        page.html = WITHOUT_LEAVE % {
            "service": json.dumps(proxy.url),
            "asked": json.dumps(ASKED),
        }
        async with showing(origin, tmp_path):
            assert await page.told
        assert service.record.total == 0
        asked = [(one.method, one.path, one.code) for one in proxy.exchanges]
    assert sorted(asked) == sorted(REFUSED)


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
            answers = await page.told
            assert answers[1][1] == "token_expired"
            assert answers == [
                [200, "completed"],
                [401, answers[1][1]],
                [403, "origin_not_allowed"],
                [403, "origin_not_allowed"],
            ]
