"""What the simulator remembers of its calls."""

import hashlib

from simulator import gallery
from tests.simulator.asking import KEY, data_url, desk, events, question


async def test_a_search_is_recorded_with_what_it_cost() -> None:
    async with desk() as at:
        answer = await at.ask(question("Alike?", stream=True), **{"x-own": "1"})
        usage = events(answer.content)[-1]["response"]["usage"]
        call = at.last
        assert (at.record.total, at.record.open, at.record.billed) == (1, 0, 1)
        assert at.record.tool_calls == 1
    assert (call.number, call.model, call.stream) == (1, "qwen3.7-plus", True)
    assert (call.prompt, call.scenario, call.finished) == ("Alike?", "normal", "completed")
    assert (call.input_tokens, call.output_tokens) == (
        usage["input_tokens"],
        usage["output_tokens"],
    )
    assert call.request_id == answer.headers["x-request-id"]
    assert call.response_id == events(answer.content)[0]["response"]["id"]
    assert call.images[0].bytes_sha256 == hashlib.sha256(gallery.jpeg("red-sails")).hexdigest()
    assert (call.images[0].width, call.images[0].height) == (320, 240)
    assert call.headers["x-own"] == "1"


async def test_streaming_and_waiting_are_charged_alike() -> None:
    async with desk() as at:
        await at.ask(question("Alike?", stream=True))
        await at.ask(question("Alike?"))
        streamed, waited = at.record.calls
    assert (streamed.input_tokens, streamed.output_tokens, streamed.tool_calls) == (
        waited.input_tokens,
        waited.output_tokens,
        waited.tool_calls,
    )


async def test_the_key_itself_is_never_recorded() -> None:
    async with desk() as at:
        await at.ask(question())
        assert at.last.headers["authorization"] == "Bearer"
        shown = await at.client.get(f"{at.url}/record?last=5")
    assert KEY["authorization"].split()[1] not in shown.text


async def test_a_refused_call_is_recorded_and_not_billed() -> None:
    async with desk() as at:
        await at.ask(question("[sim http_500]"))
        assert (at.last.finished, at.last.billed, at.record.billed) == ("refused", False, 0)


async def test_a_failure_after_billing_is_billed() -> None:
    async with desk() as at:
        answer = await at.ask(question("[sim fails_after_billing]"))
        assert answer.status_code == 500
        assert (at.last.finished, at.last.billed, at.last.tool_calls) == ("refused", True, 1)


async def test_a_client_that_leaves_is_noticed_during_the_silence() -> None:
    async with desk() as at:
        body = question("[sim silence=600]", stream=True)
        async with at.client.stream("POST", "/responses", json=body) as answer:
            async for line in answer.aiter_lines():
                if "image_search_call" in line:
                    break
            assert at.record.open == 1
        await at.record.idle()
        assert (at.last.finished, at.last.tool_calls) == ("client_gone", 1)


async def test_the_record_is_readable_and_resettable_over_http() -> None:
    async with desk() as at:
        await at.ask(question())
        await at.ask(question("", "plums", "watermelon"))
        shown = (await at.client.get(f"{at.url}/record?last=1")).json()
        assert (shown["total"], shown["open"], len(shown["calls"])) == (2, 0, 1)
        assert len(shown["calls"][0]["images"]) == 2
        assert (await at.client.delete(f"{at.url}/record")).status_code == 204
        assert (await at.client.get(f"{at.url}/record?last=9")).json()["calls"] == []
        assert (await at.client.get(f"{at.url}/record?last=x")).status_code == 400


async def test_what_is_decoded_is_what_was_sent() -> None:
    async with desk() as at:
        body = question("Alike?")
        body["input"][0]["content"][1]["image_url"] = data_url("plums", scale=2)
        await at.ask(body)
        picture = at.last.images[0]
    assert (picture.width, picture.height, picture.format) == (640, 480, "JPEG")
