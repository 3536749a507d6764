"""`POST /responses`: reads a request, plans its answer, and has it sent."""

import asyncio
import json
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from simulator import gallery, question
from simulator.answer import Searches, compose
from simulator.catalogue import make_plan
from simulator.connection import ClientGone, Connection
from simulator.plan import Plan
from simulator.record import Call
from simulator.refusals import Refused, invalid
from simulator.reply import Reply
from simulator.stored import State, Stored

# Decoding longer data URLs would hold up other streams for many milliseconds.
_DECODED_IN_THREAD_CHARS: Final = 400_000


class Responses:
    """The endpoint. A class, so that Starlette leaves `receive` unwrapped (see `connection`)."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(receive, send)
        self._state.connections.add(connection)
        try:
            with self._state.record.calling() as call:
                await self._respond(connection, call, Headers(scope=scope))
        finally:
            self._state.connections.discard(connection)
            connection.release()

    async def _respond(self, connection: Connection, call: Call, headers: Headers) -> None:
        """Answer, and note how the call ended."""
        scheme = headers.get("authorization", "").partition(" ")[0]
        call.headers = dict(headers) | ({"authorization": scheme} if scheme else {})
        try:
            raw = await connection.body()
            try:
                question.check_key(headers, self._state.knobs.key)
                body = _read_json(raw)
                self._state.record.on_body(body)
                plan = self._plan(body, call, headers)
            except Refused as exc:
                await Reply(connection, call, Plan()).error(exc.refusal, "http")
                return
            reply = Reply(connection, call, plan)
            if plan.ending and plan.stop == "start":
                await reply.end()
            elif plan.fixed:
                await reply.fixed(*plan.fixed)
            elif plan.refusal and not (plan.ending and reply.streams):
                await reply.error(plan.refusal, plan.form)
            else:
                await self._answer(body, call, plan, reply)
        except ClientGone:
            call.finished = "client_gone"

    def _plan(self, body: dict[str, Any], call: Call, headers: Headers) -> Plan:
        model = body.get("model")
        call.prompt = question.prompt_of(body)
        call.model = model if isinstance(model, str) else ""
        call.stream = body.get("stream") is True
        state, header = self._state, headers.get("x-simulate", "")
        plan = make_plan(header, call.prompt, knobs=state.knobs, tags=state.tags)
        call.scenario = " ".join(plan.names) or "normal"
        return plan

    async def _answer(self, body: dict[str, Any], call: Call, plan: Plan, reply: Reply) -> None:
        try:
            question.validate(body)
            given = await self._images(body)
        except Refused as exc:
            await reply.error(exc.refusal, "failed" if call.stream else "http")
            return
        call.images = [image.seen for image in given]
        host = call.headers.get("host", "localhost")
        base_url = self._state.knobs.public_url or f"http://{host}"
        searches = _searches(body, given, plan, base_url=base_url)
        answer = compose(body, given, searches, plan=plan, ids=reply.ids)
        call.response_id = answer.response["id"]
        items = [{"id": reply.ids.new("msg_")} | each for each in question.messages(body)]
        # Metadata is echoed but not stored: so it was seen on the real service.
        response = answer.response | {"metadata": {}}
        stored = Stored(response, items, given, body.get("previous_response_id"))

        def keep() -> None:
            if body.get("store") is not False:
                self._state.store(stored)

        await reply.answer(answer, self._state.gate, keep)

    async def _images(self, body: dict[str, Any]) -> list[gallery.SearchImage]:
        """The request's images, or those of the response that it follows."""
        urls, previous = list(question.image_urls(body)), body.get("previous_response_id")
        if previous is not None:
            if not isinstance(previous, str) or previous not in self._state.stored:
                raise invalid(f"Not found previous_response_id: {previous}")
            if not urls:
                return self._state.stored[previous].images
        if max(map(len, urls), default=0) < _DECODED_IN_THREAD_CHARS:
            return [gallery.load(url) for url in urls]
        return [await asyncio.to_thread(gallery.load, url) for url in urls]


def _searches(
    body: dict[str, Any], given: list[gallery.SearchImage], plan: Plan, *, base_url: str
) -> Searches:
    """What each search finds, with the index of its image."""
    if not question.may_search(body) or not given:
        return []
    searches: Searches = []
    for index in (min(call, len(given) - 1) for call in range(plan.calls)):
        pictures = gallery.nearest(given[index].vector, plan.results)
        found: list[dict[str, Any]] = [
            {"title": each.title, "url": f"{base_url}/gallery/{each.name}.jpg", "index": number}
            for number, each in enumerate(pictures, 1)
        ]
        searches.append((index, found))
    return searches


def _read_json(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError as exc:
        raise invalid("The request body is not valid JSON.") from exc
    if not isinstance(body, dict):
        raise invalid("The request body must be a JSON object.")
    return body
