"""The stand-in by itself: how its scenarios differ, and that it really looks."""

import base64
import json

from simulator.pictures import PICTURES
from tests.e2e.test_search import altered
from tests.e2e.v1 import asked, directly
from tests.service import KEY, Running

# name: bytes that only this scenario's stream contains.
FRAMINGS = {
    "crlf": b"event:response.created\r\n:HTTP_STATUS/200\r\ndata:{",
    "cr": b"event:response.created\r:HTTP_STATUS/200\rdata:{",
    "glued_event_name": b"\nevent:response.created:HTTP_STATUS/200\ndata:{",
    "no_event_name": b"id:1\n:HTTP_STATUS/200\ndata:{",
    "multi_data_lines": b'\ndata:{\ndata:"sequence_number":0,',
    "bom": b"\xef\xbb\xbfid:1\n",
    "done_marker": b"}\n\ndata:[DONE]\n\n",
    "comments": b"\n: a comment line\nid:1\n:\n",
    "space_after_colon": b"id: 1\nevent: response.created\n:HTTP_STATUS/200\ndata: {",
    "extra_blank_lines": b"}\n\n\n\nid:2\n",
    "reasoning_summary_text": b"event:response.reasoning_summary_text.delta\n",
    "id_equals_sequence": b"id:0\nevent:response.created\n",
    "invented_url": b"https://invented.example/",
    "echo_key": KEY.encode(),
}


async def test_a_reply_differs_from_a_normal_one_as_its_scenario_says(service: Running) -> None:
    async def play(words: str) -> bytes:
        return (await directly(service, asked(f"[sim {words}]", stream=True))).content

    normal = await play("normal seed=1")
    assert normal != await play("normal seed=2")
    for name, mark in FRAMINGS.items():
        assert mark in await play(name), name
        assert mark not in normal, name


async def test_every_picture_is_found_again_after_recompression(service: Running) -> None:
    for picture in PICTURES:
        encoded = base64.b64encode(altered(picture.name)).decode()
        found = await directly(service, asked(image=f"data:image/any;base64,{encoded}"))
        [call] = [one for one in found.json()["output"] if one["type"] == "image_search_call"]
        results = json.loads(call["output"])
        assert results[0]["title"] == picture.title
        assert (await service.http.get(results[0]["url"])).headers["content-type"] == "image/jpeg"
    assert [result["index"] for result in results] == list(range(1, 9))
