"""What a real browser lets pages of other sites do here, and what it lets them read."""

from urllib.parse import urljoin

import pytest

from tests.e2e.callers import ASKED, GUARDED, token
from tests.service import running
from tests.web.node_programs import HERE, browse, in_page, other_site

UNASKED, WITH_TOKENS = (HERE / "pages" / f"{name}.js" for name in ("unasked", "with_tokens"))
GET, POST, POST_STREAM = ["GET", "/search/stream"], ["POST", "/search"], ["POST", "/search/stream"]
REQUESTS = [GET, POST, POST_STREAM, POST, GET, GET, POST, POST_STREAM, GET, GET, GET]
REFUSED = {"origin_not_allowed": 8, "not_acceptable": 3}
"""The last three do not say that they take an event stream."""


async def test_a_page_of_another_site_starts_no_search_in_any_way_that_a_browser_has() -> None:
    async with other_site() as site, running() as service:
        found = await in_page(site, service, UNASKED.read_text(), asked=ASKED)
        for code, count in REFUSED.items():
            assert await service.metric("imagesearch_rejected_total", code=code) == count
        assert service.record.total == 0
    assert found["asked"] == REQUESTS


async def test_a_page_reads_why_its_token_is_refused() -> None:
    async with other_site() as site, running(**GUARDED | {"cors_origins": ""}) as service:
        tokens = [token(origin=f"{site}/"), token(origin=site, exp=1), token()]
        given = {"asked": ASKED, "tokens": tokens}
        found = await in_page(site, service, WITH_TOKENS.read_text(), **given)
    refused = [[401, "token_expired"], [403, "origin_not_allowed"]]
    assert found["value"] == [[200, "completed"], *refused]


@pytest.mark.parametrize("proxy", ["http-proxy-middleware", "vite"])
async def test_a_page_behind_a_development_proxy_searches_and_reads_as_it_comes(proxy: str) -> None:
    async with running() as service:
        gate = urljoin(service.upstream_url, "/gate/proxy")
        given = {"proxy": proxy, "service": service.url, "gate": gate, "asked": ASKED}
        found = await browse("dev_proxy", **given)
    assert found["status"] == "completed"
    assert found["first"].startswith("event: search.created\n")
    assert "event: search.completed\n" in found["rest"]
