"""The web page in a headless Chromium, as `make demo` serves it."""

import base64
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urljoin

import pytest

from simulator.pictures import PICTURES
from tests.clients.children import upstream_calls
from tests.e2e.callers import GUARDED, SHOP_KEY
from tests.e2e.test_demo import demo, until
from tests.e2e.test_search import altered
from tests.service import GALLERY_URL, running
from tests.web.node_programs import browse

PICTURE = PICTURES[7]
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A folder in which to put pictures of the page, for people."""


class Shown(NamedTuple):
    """A service with its page, and the stand-in behind it, by their addresses."""

    url: str
    upstream_url: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    with demo(tmp_path_factory.mktemp("demo"), PORT="0") as process:
        text = until(process, "The simulator's pictures")
        yield Shown(*re.findall(r"(http://\S+?)/(?=  the page|gallery/\n)", text))


def resized() -> str:
    """The gallery's picture as somebody else would have it: smaller, compressed again."""
    return base64.b64encode(altered(PICTURE.name)).decode()


async def visit(case: str, shown: Shown, **given: Any) -> Any:
    return await browse(
        "page",
        case=case,
        service=shown.url,
        gate=urljoin(shown.upstream_url, "/gate"),
        file=resized(),
        name=f"{PICTURE.name}.jpg",
        image=GALLERY_URL + PICTURE.name,
        screenshots=SCREENSHOTS,
        **given,
    )


def complete(page: dict[str, Any]) -> bool:
    """Whether the search was seen to its end, each event once, and nothing was wrong."""
    wrong = page["complaints"] + page.get("violations", [])
    each_once = page["numbers"] == list(range(1, len(page["numbers"]) + 1))
    return each_once and page["status"] == "Done." and not wrong


async def test_a_dropped_picture_is_searched_and_its_like_come_first(shown: Shown) -> None:
    page = await visit("searched", shown)
    assert complete(page), page
    assert page["results"][0]["title"] == PICTURE.title
    assert all(result["loaded"] for result in page["results"])
    assert PICTURE.title in page["text"]
    assert page["boxes"] == 1
    assert "CNY" in page["facts"]


async def test_a_search_that_is_cut_twice_goes_on_and_is_paid_once(shown: Shown) -> None:
    page = await visit("cut_twice", shown)
    assert complete(page), page
    assert page["notes"] == 2
    assert PICTURE.title in page["text"]
    assert len(await upstream_calls(shown.upstream_url, "[sim gated tag=cut]")) == 1


async def test_stop_cancels_the_search(shown: Shown) -> None:
    page = await visit("stopped", shown)
    assert (page["status"], page["types"][-1]) == ("Stopped.", "search.cancelled")
    [call] = await upstream_calls(shown.upstream_url, "[sim gated tag=stopped]")
    assert call["finished"] == "client_gone"


async def test_a_file_that_is_no_picture_has_its_sentence(shown: Shown) -> None:
    page = await visit("refused", shown)
    assert page["problem"].startswith("This file is no picture")
    assert page["violations"] == page["complaints"] == []


async def test_each_odd_end_has_its_sentence(shown: Shown) -> None:
    sentences = {
        "no_results": ("facts", "found nothing like it"),
        "no_tool_call": ("facts", "without searching"),
        "invented_url": ("text", ""),
        "incomplete": ("status", "cut short"),
        "cut_after_results": ("problem", "It may have been charged"),
        "data_inspection": ("problem", "content inspection"),
    }
    found = await visit("by_scenario", shown, scenarios=list(sentences))
    for scenario, (place, sentence) in sentences.items():
        assert sentence in found[scenario][place], scenario
    async with running(rate_limit="1/hour") as service:
        limited = Shown(service.url, service.upstream_url)
        found = await visit("by_scenario", limited, scenarios=["normal", "no_results"])
    assert found["normal"]["status"] == "Done."
    assert found["no_results"]["problem"].startswith("Too many searches")


async def test_a_token_that_ends_in_mid_stream_is_asked_for_and_nothing_comes_twice() -> None:
    async with running(**GUARDED) as service:
        shown = Shown(service.url, service.upstream_url)
        page = await visit("token_lost", shown, key=SHOP_KEY)
        total = service.record.total
    assert "POST /tokens" in page["note"]
    assert complete(page), page
    assert total == 1


async def test_it_works_in_chinese_in_the_dark_on_a_phone_and_by_keyboard(shown: Shown) -> None:
    looks = await visit("looks", shown)
    assert (looks["page-zh"]["lang"], looks["page-zh"]["status"]) == ("zh-CN", "完成。")
    for look in looks.values():
        assert look["results"][0]["title"] == PICTURE.title
        assert look["overflow"] <= 0
        assert look["violations"] == look["complaints"] == []
    page = await visit("keyboard", shown)
    assert page["results"][0]["title"] == PICTURE.title
