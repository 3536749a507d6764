"""The web page in a headless Chromium, in front of a service and its simulator."""

import base64
import io
import os
import time
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from simulator import Knobs, gallery
from simulator.pictures import PICTURES
from tests.clients.chromium import needed
from tests.e2e.callers import GUARDED, token
from tests.service import GALLERY_URL, KEY, Running, running
from tests.web.node_programs import run_node

PICTURE = PICTURES[7]
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A folder in which to put pictures of the page, for people."""


def resized() -> str:
    """The gallery's picture as somebody else would have it: smaller, compressed again."""
    with Image.open(io.BytesIO(gallery.jpeg(PICTURE.name))) as image:
        smaller = image.resize((image.width * 3 // 4, image.height * 3 // 4))
    with io.BytesIO() as file:
        smaller.save(file, "JPEG", quality=80)
        return base64.b64encode(file.getvalue()).decode()


async def visit(case: str, service: Running, **given: Any) -> Any:
    upstream = urlsplit(service.upstream_url)
    return await run_node(
        "page",
        case=case,
        chromium=needed(),
        service=service.url,
        gate=f"{upstream.scheme}://{upstream.netloc}/gate",
        file=resized(),
        name=f"{PICTURE.name}.jpg",
        image=GALLERY_URL + PICTURE.name,
        screenshots=SCREENSHOTS,
        **given,
    )


async def test_a_dropped_picture_is_searched_and_its_like_come_first() -> None:
    async with running(knobs=Knobs(key=KEY)) as service:
        page = await visit("searched", service)
        await service.record.idle()
    assert page["status"] == "Done."
    assert page["results"][0]["title"] == PICTURE.title
    assert all(result["loaded"] for result in page["results"])
    assert PICTURE.title in page["text"]
    assert page["boxes"] == 1
    assert "CNY" in page["facts"]
    assert page["numbers"] == list(range(1, len(page["numbers"]) + 1))
    assert page["complaints"] == []
    assert page["violations"] == []


async def test_a_search_that_is_cut_twice_goes_on_and_is_paid_once() -> None:
    async with running() as service:
        page = await visit("cut_twice", service)
        total = service.record.total
    assert total == 1
    assert page["status"] == "Done."
    assert page["notes"] == 2
    assert page["numbers"] == list(range(1, len(page["numbers"]) + 1))
    assert PICTURE.title in page["text"]
    assert page["complaints"] == []


async def test_stop_cancels_the_search() -> None:
    async with running() as service:
        page = await visit("stopped", service)
        await service.record.idle()
        call = service.record.calls[-1]
    assert page["status"] == "Stopped."
    assert page["types"][-1] == "search.cancelled"
    assert call.finished == "client_gone"


async def test_a_file_that_is_no_picture_has_its_sentence() -> None:
    async with running() as service:
        page = await visit("refused", service)
    assert page["problem"].startswith("This file is no picture")
    assert page["violations"] == []
    assert page["complaints"] == []


async def test_each_odd_end_has_its_sentence() -> None:
    sentences = {
        "no_results": ("facts", "found nothing like it"),
        "no_tool_call": ("facts", "without searching"),
        "invented_url": ("text", ""),
        "incomplete": ("status", "cut short"),
        "cut_after_results": ("problem", "It may have been charged"),
        "data_inspection": ("problem", "content inspection"),
    }
    async with running() as service:
        found = await visit("by_scenario", service, scenarios=list(sentences))
    for scenario, (place, sentence) in sentences.items():
        assert sentence in found[scenario][place], scenario


async def test_a_rate_that_is_used_up_has_its_sentence() -> None:
    async with running(rate_limit="1/hour") as service:
        found = await visit("by_scenario", service, scenarios=["normal", "no_results"])
    assert found["normal"]["status"] == "Done."
    assert found["no_results"]["problem"].startswith("Too many searches")


async def test_a_token_that_ends_in_mid_stream_is_asked_for_and_nothing_comes_twice() -> None:
    async with running(**GUARDED) as service:
        ending = token(exp=int(time.time()) + 8)
        page = await visit("token_lost", service, tokens=[ending, token()])
        total = service.record.total
    assert "POST /tokens" in page["note"]
    assert page["status"] == "Done."
    assert page["numbers"] == list(range(1, len(page["numbers"]) + 1))
    assert total == 1
    assert page["violations"] == []
    assert page["complaints"] == []


async def test_it_works_in_chinese_in_the_dark_and_on_a_phone() -> None:
    async with running(knobs=Knobs(key=KEY)) as service:
        looks = await visit("looks", service)
    assert looks["page-zh"]["lang"] == "zh-CN"
    assert looks["page-zh"]["status"] == "完成。"
    for look in looks.values():
        assert look["results"][0]["title"] == PICTURE.title
        assert look["overflow"] <= 0
        assert look["complaints"] == []
        assert look["violations"] == []


async def test_an_address_and_the_keyboard_are_enough() -> None:
    async with running() as service:
        page = await visit("keyboard", service)
    assert page["results"][0]["title"] == PICTURE.title
