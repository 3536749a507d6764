"""What happens on the connection, step by step. Pure: `line` performs it."""

from __future__ import annotations

import math
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from simulator import framing
from simulator.envelopes import compact, failed, flat
from simulator.events import Beat, Tally, tell
from simulator.plan import Break, Headers, How, Plan, Where
from simulator.refusals import REFUSALS
from simulator.steps import Chunk, Finish, Hold, Keep, Start, Step, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.answer import Answer
    from simulator.record import Finished
    from simulator.refusal import Refusal

EVENT_STREAM: Final = "text/event-stream;charset=UTF-8"
JSON: Final = "application/json"
# What never ends does end here, should a client swallow it all.
ENDLESS_MAX_BYTES: Final = 64 * 1024 * 1024
# A gate holds back the third event.
_GATED_EVENT: Final = 2


def events_script(answer: Answer, plan: Plan, request_id: str) -> Iterator[Step]:
    """The steps of a streamed answer."""
    beats = tell(answer, plan)
    stop = len(beats) if plan.breaks is None else _place(beats, plan.breaks)
    yield from _opening(plan, request_id, EVENT_STREAM)
    if plan.framing.byte_order_mark:
        yield Chunk(framing.BYTE_ORDER_MARK)
    for place, beat in enumerate(beats[:stop]):
        if place == _GATED_EVENT and plan.gate is not None:
            yield Hold(plan.gate)
        yield from _told(beat, plan, last=place == len(beats) - 1)
    if plan.breaks is None:
        if plan.framing.done_marker:
            yield Chunk(framing.marker(plan.framing))
        yield Finish("end", "completed")
    else:
        yield from _broken(plan.breaks, beats[stop:], plan, answer, request_id)


def body_script(
    answer: Answer, body: dict[str, Any], plan: Plan, request_id: str
) -> Iterator[Step]:
    """The steps of an answer in one piece of JSON."""
    if plan.breaks and plan.breaks.how in {How.FRAME, How.FAILED}:
        yield from _failed_body(plan.breaks, answer, request_id)
        return
    data = compact(body).encode("utf-8", "replace")
    usage = answer.usage
    if plan.breaks is None:
        yield Wait(plan.knobs.silence_s * usage.searches + plan.headers_delay_s)
        yield Tally(usage.searches, usage.input_tokens, usage.output_tokens)
        yield Keep()
        length = ("content-length", str(len(data)))
        yield Start(200, (*_headers(request_id, JSON), *plan.headers, length))
        yield Chunk(data)
        yield Finish("end", "completed")
        return
    yield from _opening(plan, request_id, JSON)
    yield Tally(usage.searches, usage.input_tokens, usage.output_tokens)
    if plan.breaks.where is not Where.HEADERS:
        yield Chunk(data[: len(data) // 2])
    yield from _ending(plan.breaks, repeat(b" " * plan.breaks.size_bytes), plan)


def early_script(plan: Plan) -> Iterator[Step]:
    """The steps of a call that never gets as far as headers."""
    if plan.breaks is not None and plan.breaks.how is How.RESET:
        yield Finish("reset", "cut")
    else:
        yield Wait(math.inf)


def plain_script(
    status: int, content_type: str, data: bytes, *, plan_headers: Headers, finished: Finished
) -> Iterator[Step]:
    """The steps of a fixed reply."""
    length = ("content-length", str(len(data)))
    yield Start(status, (("content-type", content_type), *plan_headers, length))
    yield Chunk(data)
    yield Finish("end", finished)


def failed_event(refusal: Refusal, number: int, *, response_id: str, created_at: int) -> Beat:
    """The `response.failed` event."""
    response = failed(refusal, response_id=response_id, created_at=created_at)
    data = {"sequence_number": number - 1, "type": "response.failed", "response": response}
    return Beat(number, "response.failed", compact(data))


def _headers(request_id: str, content_type: str) -> Headers:
    return (
        ("content-type", content_type),
        ("x-request-id", request_id),
        ("x-dashscope-call-gateway", "true"),
    )


def _opening(plan: Plan, request_id: str, content_type: str) -> Iterator[Step]:
    yield Wait(plan.headers_delay_s)
    yield Start(200, (*_headers(request_id, content_type), *plan.headers))


def _told(beat: Beat, plan: Plan, *, last: bool) -> Iterator[Step]:
    if beat.wait_s:
        yield Wait(beat.wait_s)
    if beat.tally is not None:
        yield beat.tally
    if beat.type in {"response.completed", "response.incomplete"}:
        yield Keep()
    framed = framing.frame(beat, plan.framing)
    if last and not plan.framing.final_blank_line:
        framed = framing.unclosed(framed, plan.framing)
    for chunk in framing.chunks(framed, plan.framing):
        yield Chunk(chunk)


def _place(beats: list[Beat], broken: Break) -> int:
    """How many events come before the break; the terminal event never does."""
    last = len(beats) - 1
    if broken.where is Where.HEADERS:
        return 0
    if broken.where is Where.TERMINAL:
        return last
    if broken.where in {Where.AFTER, Where.INSIDE_EVENT}:
        return min(broken.after, last)
    found = (place for place, beat in enumerate(beats) if _is_mark(beat, broken.where))
    place = next(found, last - 1)
    return place + (broken.where is not Where.INSIDE_CHARACTER)


def _is_mark(beat: Beat, where: Where) -> bool:
    if where is Where.RESULTS:
        return '"image_search_call","status":"completed"' in beat.data
    if where is Where.MESSAGE:
        return beat.type == "response.output_text.delta"
    return not beat.data.isascii()


def _broken(
    broken: Break, rest: list[Beat], plan: Plan, answer: Answer, request_id: str
) -> Iterator[Step]:
    following = framing.frame(rest[0], plan.framing)
    refusal = broken.refusal or REFUSALS["internal"]
    if broken.where is Where.INSIDE_EVENT:
        yield Chunk(following[: len(following) // 2])
    elif broken.where is Where.INSIDE_CHARACTER:
        first = next((place for place, value in enumerate(following) if value > 127), 0)  # noqa: PLR2004 - beyond ASCII
        yield Chunk(following[: first + 1])
    if broken.how is How.FRAME:
        beat = Beat(rest[0].number, "error", compact(flat(refusal, request_id)))
        yield Chunk(framing.frame(beat, plan.framing, status=refusal.status))
    elif broken.how is How.FAILED:
        number = rest[0].number
        beat = failed_event(refusal, number, response_id=answer.id, created_at=answer.created_at)
        yield Chunk(framing.frame(beat, plan.framing))
    yield from _ending(broken, _endless(broken, rest[0], plan), plan)


def _ending(broken: Break, flood: Iterator[bytes], plan: Plan) -> Iterator[Step]:
    if broken.how in {How.FRAME, How.FAILED}:
        yield Finish("end", "failed")
    elif broken.how is How.RESET:
        yield Finish("reset", "cut")
    elif broken.how is How.CLOSE:
        yield Finish("close", "cut")
    elif broken.how is How.STALL:
        yield Wait(math.inf)
    else:
        if broken.how in {How.DELTAS, How.LINE}:
            yield from _flooded(flood, plan.knobs.pace_s)
        yield Finish("end", "cut")


def _flooded(flood: Iterator[bytes], pace_s: float) -> Iterator[Step]:
    sent = 0
    for data in flood:
        yield Chunk(data)
        yield Wait(pace_s)
        sent += len(data)
        if sent >= ENDLESS_MAX_BYTES:
            return


def _endless(broken: Break, following: Beat, plan: Plan) -> Iterator[bytes]:
    filler = "x" * broken.size_bytes
    if broken.how is How.LINE:
        yield b'id:1\nevent:response.output_text.delta\ndata:{"delta":"'
        yield from repeat(filler.encode())
    number = following.number
    while True:
        fields = {"sequence_number": number - 1, "delta": filler, "content_index": 0}
        data = compact(fields | {"type": "response.output_text.delta"})
        yield framing.frame(Beat(number, "response.output_text.delta", data), plan.framing)
        number += 1


def _failed_body(broken: Break, answer: Answer, request_id: str) -> Iterator[Step]:
    refusal = broken.refusal or REFUSALS["internal"]
    headers = _headers(request_id, JSON)[1:]
    status, body = refusal.status, flat(refusal, request_id)
    if broken.how is How.FAILED:
        body = failed(refusal, response_id=answer.id, created_at=answer.created_at)
        status = 200
    data = compact(body).encode()
    yield from plain_script(status, JSON, data, plan_headers=headers, finished="failed")
