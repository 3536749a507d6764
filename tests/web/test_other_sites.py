"""What a real browser lets pages of other sites do here, and what it lets them read."""

import json
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.e2e.callers import ASKED, GUARDED, token
from tests.service import Running, running
from tests.web.node_programs import browse, other_site


async def in_page(site: str, program: str, service: Running, **variables: Any) -> Any:
    """Run a program in a page of the site; what it returns, and what it asked of the service."""
    variables |= {"service": service.url, "asked": ASKED}
    lines = [f"const {name} = {json.dumps(value)};" for name, value in variables.items()]
    whole = "(async () => {" + "\n".join([*lines, program]) + "})()"
    return await browse("in_page", site=site, program=whole, service=service.url)


UNASKED = """
const frame = Object.assign(document.createElement("iframe"), {name: "frame"});
document.body.append(frame);
const stream = service + "/search/stream?" + new URLSearchParams(asked);
const body = new FormData();
for (const name in asked) body.append(name, asked[name]);

const submitted = (method, action, enctype) => new Promise((done) => {
  const form = document.body.appendChild(document.createElement("form"));
  Object.assign(form, {method, action, enctype, target: "frame"});
  for (const name in asked)
    form.append(Object.assign(document.createElement("input"), {name, value: asked[name]}));
  frame.onload = done;
  form.submit();
});
const embedded = (tag) => new Promise((done) => {
  const element = Object.assign(document.createElement(tag), {src: stream});
  Object.assign(element, {onload: done, onerror: done});
  document.body.append(element);
});
const mode = "no-cors", method = "POST", headers = {Accept: "text/event-stream"};

await fetch(stream, {mode, headers});
await fetch(service + "/search", {mode, method, body});
await fetch(service + "/search/stream", {mode, method, body});
await fetch(service + "/search", {mode, method, body: JSON.stringify(asked)});
await fetch(stream, {headers}).catch(() => {});
await new Promise((done) => new EventSource(stream).onerror = done);
await submitted("POST", service + "/search", "multipart/form-data");
await submitted("POST", service + "/search/stream", "text/plain");
await embedded("img");
await embedded("script");
await submitted("GET", service + "/search/stream", "");
"""
GET, POST, POST_STREAM = ["GET", "/search/stream"], ["POST", "/search"], ["POST", "/search/stream"]
REQUESTS = [GET, POST, POST_STREAM, POST, GET, GET, POST, POST_STREAM, GET, GET, GET]
REFUSED = {"origin_not_allowed": 8, "not_acceptable": 3}
"""The last three do not say that they take an event stream."""


async def test_a_page_of_another_site_starts_no_search_in_any_way_that_a_browser_has() -> None:
    async with other_site() as site, running() as service:
        found = await in_page(site, UNASKED, service)
        for code, count in REFUSED.items():
            assert await service.metric("imagesearch_rejected_total", code=code) == count
        assert service.record.total == 0
    assert found["asked"] == REQUESTS


SEARCHES = """
const outcomes = [];
for (const token of tokens) {
  const headers = {Authorization: "Bearer " + token, "Content-Type": "application/json"};
  const sent = {method: "POST", headers, body: JSON.stringify(asked)};
  try {
    const answer = await fetch(service + "/search", sent);
    const {code, status} = await answer.json();
    outcomes.push([answer.status, code ?? status]);
  } catch (error) {
    outcomes.push([0, String(error)]);
  }
}
return outcomes;
"""


async def test_a_page_reads_why_its_token_is_refused() -> None:
    async with other_site() as site, running(**GUARDED | {"cors_origins": ""}) as service:
        tokens = [
            token(origin=f"{site}/"),
            token(origin=site, exp=1),
            token(origin="https://another.example"),
            token(),
        ]
        found = await in_page(site, SEARCHES, service, tokens=tokens)
    assert found["value"] == [
        [200, "completed"],
        [401, "token_expired"],
        [403, "origin_not_allowed"],
        [403, "origin_not_allowed"],
    ]


RELOADS = """
const stream = service + "/search/stream?" + new URLSearchParams(asked);
for (const _ of [1, 2, 3])
  await new Promise((done) => {
    const source = new EventSource(stream);
    source.addEventListener("search.completed", () => done(source.close()));
  });
"""


async def test_an_event_source_that_asks_again_is_answered_with_what_was_found() -> None:
    async with other_site() as site, running(cors_origins=site) as service:
        await in_page(site, RELOADS, service)
        assert service.record.total == 1


@pytest.mark.parametrize("proxy", ["http-proxy-middleware", "vite"])
async def test_a_page_behind_a_development_proxy_searches_and_reads_as_it_comes(proxy: str) -> None:
    async with running() as service:
        gate = urljoin(service.upstream_url, "/gate/proxy")
        given = {"proxy": proxy, "service": service.url, "gate": gate, "asked": ASKED}
        found = await browse("dev_proxy", **given)
    assert found["status"] == "completed"
    assert found["first"].startswith("event: search.created\n")
    assert "event: search.completed\n" in found["rest"]
