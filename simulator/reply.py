"""Sends what a plan asks for: an answer as events or as one body, an error, or a break."""

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Final

from simulator.answer import Answer
from simulator.connection import Connection
from simulator.events import Event, build_events, chunks, encode, frame
from simulator.ids import Ids
from simulator.plan import Headers, Plan
from simulator.record import Call, Charge, Finished
from simulator.refusals import REFUSALS, Form, Refusal, bare_response, compact
from simulator.state import Gate

EVENT_STREAM: Final = "text/event-stream;charset=UTF-8"
JSON: Final = "application/json"
# Even what is endless stops here, should a client read it all.
ENDLESS_MAX_BYTES: Final = 64 * 1024 * 1024
GATE_LIMIT_S: Final = 30
# A gate holds back the third event.
_GATED_EVENT: Final = 2
_ASCII_MAX: Final = 127
_TERMINAL: Final = {"response.completed", "response.incomplete"}
_BILLED_ERROR: Final = Charge(tool_calls=1, input_tokens=1000, output_tokens=100)


class Reply:
    """The reply to one call. It notes in the call what is billed, and how it ends."""

    def __init__(self, connection: Connection, call: Call, *, plan: Plan, ids: Ids) -> None:
        self._connection = connection
        self._call = call
        self._plan = plan
        self._ids = ids
        self._streams = call.stream and not plan.always_json
        self._refusal = plan.refusal or REFUSALS["internal"]

    async def answer(self, answer: Answer, gate: Gate, keep: Callable[[], None]) -> None:
        """Send an answer; `keep` is called just before its last event, or its body."""
        plan = self._plan
        if plan.ending in {"error_event", "failed_event"} and not self._streams:
            await self.error(self._refusal, "http" if plan.ending == "error_event" else "failed")
            return
        events = build_events(answer, plan) if self._streams else [_whole(answer, plan)]
        stop = _stop(events, plan) if plan.ending else len(events)
        await self._connection.wait(plan.headers_delay_s + events[0].wait_s)
        await self._start(200, EVENT_STREAM if self._streams else JSON, plan.headers)
        if plan.byte_order_mark and self._streams:
            await self._connection.write(b"\xef\xbb\xbf")
        for place, event in enumerate(events[:stop]):
            if place == _GATED_EVENT and plan.gate is not None:
                await self._connection.wait(GATE_LIMIT_S, gate.at(plan.gate))
            await self._connection.wait(event.wait_s if place else 0)
            self._call.add(event.charge)
            if event.type in _TERMINAL:
                keep()
            for chunk in chunks(self._bytes(event, last=place == len(events) - 1), plan):
                await self._connection.write(chunk)
        if plan.ending:
            await self._break(events[stop])
            return
        if plan.done_marker and self._streams:
            await self._connection.write(encode(["data:[DONE]", ""], plan))
        await self._finish("completed")

    async def fixed(self, status: int, kind: str, data: bytes) -> None:
        """Send a fixed reply in place of an answer."""
        await self._connection.wait(self._plan.headers_delay_s)
        await self._start(status, kind, self._plan.headers)
        await self._connection.write(data)
        await self._finish("cut" if status < 300 else "refused")  # noqa: PLR2004 - HTTP's successes

    async def error(self, refusal: Refusal, form: Form) -> None:
        """Send an error in its form."""
        status, kind, body = refusal.status, JSON, compact(refusal.flat(self._call.request_id))
        if form in {"nested", "sse"}:
            body = compact(refusal.nested(self._call.request_id))
        elif form == "failed":
            status, body = 200, compact(self._failed_response(refusal))
        data = body.encode("utf-8", "replace")
        if form == "sse":
            data = b"data: " + data + b"\n\n"
        elif form == "failed" and self._streams:
            kind, data = EVENT_STREAM, frame(self._failed_event(refusal, 1), self._plan)
        await self._connection.wait(self._plan.headers_delay_s)
        self._call.add(_BILLED_ERROR if self._plan.billed else None)
        await self._start(status, kind, self._plan.headers)
        await self._connection.write(data)
        await self._finish("failed" if form == "failed" else "refused")

    async def end(self, endless: Iterable[bytes] = ()) -> None:
        """End as the plan's break says."""
        ending, sent = self._plan.ending, 0
        if ending == "stall":
            await self._connection.wait(None)
        if ending in {"reset", "close"}:
            await self._connection.break_off(reset=ending == "reset")
            return
        for data in endless:
            await self._connection.write(data)
            await self._connection.wait(self._plan.pace_s)
            sent += len(data)
            if sent >= ENDLESS_MAX_BYTES:
                break
        await self._connection.end()

    async def _break(self, following: Event) -> None:
        """Break off before the following event, or inside it."""
        plan, data = self._plan, self._bytes(following)
        if plan.stop == "event" or (not self._streams and plan.stop != "headers"):
            await self._connection.write(data[: len(data) // 2])
        elif plan.stop == "character":
            length = next(place for place, byte in enumerate(data, 1) if byte > _ASCII_MAX)
            await self._connection.write(data[:length])
        if plan.ending == "error_event":
            flat = compact(self._refusal.flat(self._call.request_id))
            event = Event(following.id, "error", flat)
            await self._connection.write(frame(event, plan, status=self._refusal.status))
            await self._finish("failed")
        elif plan.ending == "failed_event":
            event = self._failed_event(self._refusal, following.id)
            await self._connection.write(frame(event, plan))
            await self._finish("failed")
        else:
            await self.end(_endless(plan, following.id))

    def _bytes(self, event: Event, *, last: bool = False) -> bytes:
        if not self._streams:
            return event.data.encode("utf-8", "replace")
        framed = frame(event, self._plan)
        if last and not self._plan.final_blank_line:
            return framed.rstrip(b"\r\n") + self._plan.newline.encode()
        return framed

    def _failed_event(self, refusal: Refusal, number: int) -> Event:
        response = self._failed_response(refusal)
        kind = "response.failed"
        data = compact({"sequence_number": number - 1, "type": kind, "response": response})
        return Event(number, kind, data)

    def _failed_response(self, refusal: Refusal) -> dict[str, object]:
        response_id = self._call.response_id or self._ids.response()
        error = {"code": refusal.code, "message": refusal.message}
        return bare_response(response_id, self._ids.now_s(), status="failed", error=error)

    async def _start(self, status: int, kind: str, headers: Headers) -> None:
        ours = (("content-type", kind), ("x-request-id", self._call.request_id))
        await self._connection.start(
            status, (*ours, ("x-dashscope-call-gateway", "true"), *headers)
        )

    async def _finish(self, finished: Finished) -> None:
        self._call.finished = finished
        await self._connection.end()


def _whole(answer: Answer, plan: Plan) -> Event:
    """An answer in one piece."""
    wait_s = plan.silence_s * answer.charge.tool_calls
    return Event(1, "response.completed", compact(answer.response), wait_s, answer.charge)


def _stop(events: list[Event], plan: Plan) -> int:
    """How many events come before the break; the last event never does."""
    last = len(events) - 1
    if plan.stop in {"results", "delta", "character"}:
        found = (place for place, event in enumerate(events) if _is_mark(event, plan))
        return min(next(found, last - 1) + (plan.stop != "character"), last)
    return {"headers": 0, "terminal": last}.get(plan.stop, min(plan.after, last))


def _is_mark(event: Event, plan: Plan) -> bool:
    if plan.stop == "results":
        return '"image_search_call","status":"completed"' in event.data
    is_delta = event.type == "response.output_text.delta"
    return is_delta if plan.stop == "delta" else not event.data.isascii()


def _endless(plan: Plan, number: int) -> Iterator[bytes]:
    """Deltas, or one data line, without end; nothing for another ending."""
    filler = "x" * plan.size_bytes
    if plan.ending == "line":
        yield b'id:1\nevent:response.output_text.delta\ndata:{"delta":"'
        yield from repeat(filler.encode())
    while plan.ending == "deltas":
        fields = {"sequence_number": number - 1, "delta": filler, "content_index": 0}
        data = compact(fields | {"type": "response.output_text.delta"})
        yield frame(Event(number, "response.output_text.delta", data), plan)
        number += 1
