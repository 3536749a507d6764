"""Sends what a plan asks for: an answer as a stream or as one body, an error, or a break."""

import math
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Final

from simulator.answer import Answer
from simulator.connection import Connection
from simulator.events import Event, build_events
from simulator.framing import BYTE_ORDER_MARK, chunks, end_marker, frame
from simulator.ids import Ids
from simulator.plan import ErrorReply, FixedReply, Headers, Plan
from simulator.record import Call, Charge, Finished
from simulator.refusals import REFUSALS, Form, Refusal, compact
from simulator.state import Gate

EVENT_STREAM: Final = "text/event-stream;charset=UTF-8"
JSON: Final = "application/json"
# Even what is endless stops here, should a client read it all.
ENDLESS_MAX_BYTES: Final = 64 * 1024 * 1024
GATE_LIMIT_S: Final = 30
# A gate holds back the third event.
_GATED_EVENT: Final = 2
_BILLED_ERROR: Final = Charge(tool_calls=1, input_tokens=1000, output_tokens=100)


class Reply:
    """The reply to one call. It notes in the call what is billed, and how it ends."""

    def __init__(self, connection: Connection, call: Call, *, plan: Plan, ids: Ids) -> None:
        self._connection = connection
        self._call = call
        self._plan = plan
        self._ids = ids

    async def stream(self, answer: Answer, gate: Gate, keep: Callable[[], None]) -> None:
        """Send an answer as events; it is kept just before its last event."""
        plan, events = self._plan, build_events(answer, self._plan)
        stop = _stop(events, plan) if plan.ending else len(events)
        await self._connection.pause(plan.headers_delay_s)
        await self._start(200, EVENT_STREAM, plan.headers)
        if plan.byte_order_mark:
            await self._connection.write(BYTE_ORDER_MARK)
        for place, event in enumerate(events[:stop]):
            if place == _GATED_EVENT and plan.gate is not None:
                await self._connection.wait_for(gate.at(plan.gate), GATE_LIMIT_S)
            await self._connection.pause(event.wait_s)
            if event.charge:
                self._call.add(event.charge)
            if event.type in {"response.completed", "response.incomplete"}:
                keep()
            await self._send(event, last=place == len(events) - 1)
        if plan.ending:
            await self._break(events[stop])
            return
        if plan.done_marker:
            await self._connection.write(end_marker(plan))
        await self._finish("completed")

    async def whole(self, answer: Answer, keep: Callable[[], None]) -> None:
        """Send an answer as one JSON body; with a break, only half of it."""
        plan, data = self._plan, _encode(answer.response)
        if plan.ending in {"error_event", "failed_event"}:
            form: Form = "http" if plan.ending == "error_event" else "failed"
            await self.error(ErrorReply(plan.refusal or REFUSALS["internal"], form))
            return
        wait_s = 0 if plan.ending else plan.silence_s * answer.charge.tool_calls
        await self._connection.pause(plan.headers_delay_s + wait_s)
        self._call.add(answer.charge)
        if plan.ending:
            await self._start(200, JSON, plan.headers)
            if plan.stop != "after_headers":
                await self._connection.write(data[: len(data) // 2])
            await self.end(repeat(b" " * plan.size_bytes))
            return
        keep()
        await self._fixed(200, JSON, data, headers=plan.headers, finished="completed")

    async def instead(self, reply: ErrorReply | FixedReply) -> None:
        """Send the reply that the plan has in place of an answer."""
        await self._connection.pause(self._plan.headers_delay_s)
        if isinstance(reply, ErrorReply):
            await self.error(reply)
            return
        finished: Finished = "cut" if reply.status < 300 else "refused"  # noqa: PLR2004 - HTTP's successes
        await self._fixed(
            reply.status, reply.content_type, reply.body, headers=reply.headers, finished=finished
        )

    async def error(self, reply: ErrorReply) -> None:
        """Send an error in its form."""
        refusal, request_id = reply.refusal, self._call.request_id
        if reply.billed:
            self._call.add(_BILLED_ERROR)
        if reply.form == "failed":
            await self._failed(refusal)
            return
        flat = reply.form == "http"
        data = _encode(refusal.flat(request_id) if flat else refusal.nested(request_id))
        if reply.form == "sse":
            data = b"data: " + data + b"\n\n"
        await self._fixed(refusal.status, JSON, data, headers=reply.headers, finished="refused")

    async def end(self, endless: Iterator[bytes] | None = None) -> None:
        """End as the plan's break says."""
        ending, connection = self._plan.ending, self._connection
        if ending == "stall":
            await connection.pause(math.inf)
        elif ending == "reset":
            await connection.reset()
        elif ending == "close":
            await connection.close()
        else:
            sent = 0
            while endless and ending in {"endless_deltas", "endless_line"}:
                data = next(endless)
                await connection.write(data)
                await connection.pause(self._plan.pace_s)
                sent += len(data)
                if sent >= ENDLESS_MAX_BYTES:
                    break
            await connection.end()

    async def _break(self, following: Event) -> None:
        """Break off before the following event, or inside it."""
        plan, framed = self._plan, frame(following, self._plan)
        refusal = plan.refusal or REFUSALS["internal"]
        if plan.stop == "inside_event":
            await self._connection.write(framed[: len(framed) // 2])
        elif plan.stop == "inside_character":
            cut = next((place for place, byte in enumerate(framed) if byte > 127), 0) + 1  # noqa: PLR2004 - beyond ASCII
            await self._connection.write(framed[:cut])
        if plan.ending == "error_event":
            event = Event(following.id, "error", compact(refusal.flat(self._call.request_id)))
            await self._connection.write(frame(event, plan, status=refusal.status))
            await self._finish("failed")
        elif plan.ending == "failed_event":
            await self._connection.write(frame(self._failed_event(refusal, following.id), plan))
            await self._finish("failed")
        else:
            await self.end(_endless(plan, following.id))

    async def _send(self, event: Event, *, last: bool) -> None:
        framed = frame(event, self._plan)
        if last and not self._plan.final_blank_line:
            framed = framed.rstrip(b"\r\n") + self._plan.newline.encode()
        for chunk in chunks(framed, self._plan):
            await self._connection.write(chunk)

    async def _failed(self, refusal: Refusal) -> None:
        """HTTP 200 with a failed response: one event in a stream, or the body."""
        event = self._failed_event(refusal, 1)
        if self._call.stream and not self._plan.always_json:
            data, kind = frame(event, self._plan), EVENT_STREAM
        else:
            data, kind = _encode(self._failed_response(refusal)), JSON
        await self._fixed(200, kind, data, headers=(), finished="failed")

    def _failed_event(self, refusal: Refusal, number: int) -> Event:
        response = self._failed_response(refusal)
        kind = "response.failed"
        data = compact({"sequence_number": number - 1, "type": kind, "response": response})
        return Event(number, kind, data)

    def _failed_response(self, refusal: Refusal) -> dict[str, object]:
        response_id = self._call.response_id or self._ids.response()
        return refusal.failed_response(response_id, self._ids.now_s())

    async def _start(self, status: int, kind: str, headers: Headers) -> None:
        ours = (("content-type", kind), ("x-request-id", self._call.request_id))
        await self._connection.start(
            status, (*ours, ("x-dashscope-call-gateway", "true"), *headers)
        )

    async def _fixed(
        self, status: int, kind: str, data: bytes, *, headers: Headers, finished: Finished
    ) -> None:
        """Send a body whose length is known."""
        await self._start(status, kind, (*headers, ("content-length", str(len(data)))))
        await self._connection.write(data)
        await self._finish(finished)

    async def _finish(self, finished: Finished) -> None:
        self._call.finished = finished
        await self._connection.end()


def _encode(body: object) -> bytes:
    return compact(body).encode("utf-8", "replace")


def _stop(events: list[Event], plan: Plan) -> int:
    """How many events come before the break; the last event never does."""
    last = len(events) - 1
    if plan.stop == "after_headers":
        return 0
    if plan.stop == "before_terminal":
        return last
    if plan.stop in {"after_events", "inside_event"}:
        return min(plan.after, last)
    place = next((place for place, event in enumerate(events) if _is_mark(event, plan)), last - 1)
    return place + (plan.stop != "inside_character")


def _is_mark(event: Event, plan: Plan) -> bool:
    if plan.stop == "after_results":
        return '"image_search_call","status":"completed"' in event.data
    if plan.stop == "after_delta":
        return event.type == "response.output_text.delta"
    return not event.data.isascii()


def _endless(plan: Plan, number: int) -> Iterator[bytes]:
    filler = "x" * plan.size_bytes
    if plan.ending == "endless_line":
        yield b'id:1\nevent:response.output_text.delta\ndata:{"delta":"'
        yield from repeat(filler.encode())
    while True:
        fields = {"sequence_number": number - 1, "delta": filler, "content_index": 0}
        data = compact(fields | {"type": "response.output_text.delta"})
        yield frame(Event(number, "response.output_text.delta", data), plan)
        number += 1
