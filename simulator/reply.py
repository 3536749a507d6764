"""Sends what a plan asks for: an answer as events or as one body, an error, or a break."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Final

from simulator.answer import Answer, Ids
from simulator.connection import Connection
from simulator.events import Event, build_events, chunks, encode, frame, whole
from simulator.plan import Plan
from simulator.record import Call, Charge, Finished
from simulator.refusals import Form, Refusal, bare_response, compact
from simulator.stored import Gate

EVENT_STREAM: Final = "text/event-stream;charset=UTF-8"
JSON: Final = "application/json"
# Even what is endless stops here, should a client read it all.
ENDLESS_MAX_BYTES: Final = 64 * 1024 * 1024
GATE_LIMIT_S: Final = 30
# A gate holds back the third event.
_GATED_EVENT: Final = 2
_ASCII_MAX: Final = 127
# What the event has, in its data, at or in which an answer breaks off.
_MARKS: Final = {
    "results": r'"image_search_call","status":"completed"',
    "delta": r'"response\.output_text\.delta"',
    "character": r"[^\x00-\x7f]",
}
_BILLED_ERROR: Final = Charge(tool_calls=1, input_tokens=1000, output_tokens=100)


class Reply:
    """The reply to one call. It notes in the call what is billed, and how it ends."""

    def __init__(self, connection: Connection, call: Call, plan: Plan) -> None:
        self.ids = Ids(plan.seed if plan.repeatable else None)
        self.streams = call.stream and "json_200" not in plan.names
        self._connection, self._call, self._plan = connection, call, plan
        call.request_id = self.ids.new()

    async def answer(self, answer: Answer, gate: Gate, keep: Callable[[], None]) -> None:
        """Send an answer; `keep` is called just before its terminal event, or its body."""
        plan = self._plan
        events = build_events(answer, plan) if self.streams else [whole(answer, plan)]
        stop = _stop(events, plan) if plan.ending else len(events)
        await self._connection.wait(plan.headers_delay_s + events[0].wait_s)
        await self._start(200, EVENT_STREAM if self.streams else JSON)
        if "bom" in plan.names and self.streams:
            await self._connection.write(b"\xef\xbb\xbf")
        for place, event in enumerate(events[:stop]):
            if place == _GATED_EVENT and plan.gate is not None:
                await self._connection.wait(GATE_LIMIT_S, gate.at(plan.gate))
            await self._connection.wait(event.wait_s if place else 0)
            self._call.add(event.charge)
            if event.type in {"response.completed", "response.incomplete"}:
                keep()
            for chunk in chunks(self._bytes(event, last=place == len(events) - 1), plan):
                await self._connection.write(chunk)
        if plan.ending:
            await self._break(events[stop])
            return
        if "done_marker" in plan.names and self.streams:
            await self._connection.write(encode(["data:[DONE]", ""], plan))
        await self._finish("completed")

    async def fixed(self, status: int, kind: str, text: str) -> None:
        """Send a fixed reply in place of an answer."""
        finished: Finished = "cut" if status < 300 else "refused"  # noqa: PLR2004 - HTTP's successes
        await self._send(status, kind, text.encode("latin-1"), finished)

    async def error(self, refusal: Refusal, form: Form) -> None:
        """Send an error in its form; as a flat body if it is one for streams."""
        status, kind, body = refusal.status, JSON, refusal.flat(self._call.request_id)
        if form in {"nested", "sse"}:
            body = refusal.nested(self._call.request_id)
        elif form == "failed":
            status, body = 200, self._failed_response(refusal)
        data = compact(body).encode("utf-8", "replace")
        if form == "sse":
            data = b"data: " + data + b"\n\n"
        elif form == "failed" and self.streams:
            kind, data = EVENT_STREAM, frame(self._failed_event(refusal, 1), self._plan)
        self._call.add(_BILLED_ERROR if self._plan.billed else None)
        await self._send(status, kind, data, "failed" if form == "failed" else "refused")

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
        plan, data, refusal = self._plan, self._bytes(following), self._plan.refusal
        if plan.stop == "event" or (not self.streams and plan.stop != "headers"):
            await self._connection.write(data[: len(data) // 2])
        elif plan.stop == "character":
            length = next(place for place, byte in enumerate(data, 1) if byte > _ASCII_MAX)
            await self._connection.write(data[:length])
        if refusal is None or plan.ending not in {"error_event", "failed_event"}:
            await self.end(_endless(plan, following.id))
            return
        event, status = self._failed_event(refusal, following.id), 200
        if plan.ending == "error_event":
            flat = compact(refusal.flat(self._call.request_id))
            event, status = Event(following.id, "error", flat), refusal.status
        await self._connection.write(frame(event, plan, status=status))
        await self._finish("failed")

    def _bytes(self, event: Event, *, last: bool = False) -> bytes:
        if not self.streams:
            return event.data.encode("utf-8", "replace")
        framed = frame(event, self._plan)
        if last and "no_final_blank_line" in self._plan.names:
            return framed.rstrip(b"\r\n") + encode([""], self._plan)
        return framed

    def _failed_event(self, refusal: Refusal, number: int) -> Event:
        fields = {"sequence_number": number - 1, "type": "response.failed"}
        data = compact(fields | {"response": self._failed_response(refusal)})
        return Event(number, "response.failed", data)

    def _failed_response(self, refusal: Refusal) -> dict[str, object]:
        response_id = self._call.response_id or self.ids.new("resp_")
        error = {"code": refusal.code, "message": refusal.message}
        return bare_response(response_id, self.ids.now_s, status="failed", error=error)

    async def _send(self, status: int, kind: str, data: bytes, finished: Finished) -> None:
        """Send a whole body."""
        await self._connection.wait(self._plan.headers_delay_s)
        await self._start(status, kind)
        await self._connection.write(data)
        await self._finish(finished)

    async def _start(self, status: int, kind: str) -> None:
        ours = {"content-type": kind, "x-request-id": self._call.request_id}
        ours |= {"x-dashscope-call-gateway": "true"} | dict(self._plan.headers)
        await self._connection.start(status, ours)

    async def _finish(self, finished: Finished) -> None:
        self._call.finished = finished
        await self._connection.end()


def _stop(events: list[Event], plan: Plan) -> int:
    """How many events come before the break; the last event never does."""
    last = len(events) - 1
    if mark := _MARKS.get(plan.stop):
        found = (place for place, event in enumerate(events) if re.search(mark, event.data))
        return min(next(found, last - 1) + (plan.stop != "character"), last)
    return {"headers": 0, "terminal": last}.get(plan.stop, min(plan.after, last))


def _endless(plan: Plan, number: int) -> Iterator[bytes]:
    """Deltas, or one data line, without end; nothing for another ending."""
    filler, kind = "x" * plan.size_bytes, "response.output_text.delta"
    if plan.ending == "line":
        yield b'id:1\nevent:response.output_text.delta\ndata:{"delta":"'
        yield from repeat(filler.encode())
    while plan.ending == "deltas":
        fields = {"sequence_number": number - 1, "delta": filler, "content_index": 0, "type": kind}
        yield frame(Event(number, kind, compact(fields)), plan)
        number += 1
