"""`POST /responses`: reads a request, plans its answer, and has it sent."""

import asyncio
import json
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from simulator import gallery, images, question
from simulator.answer import Searches, compose
from simulator.connection import ClientGone, Connection
from simulator.ids import Ids
from simulator.plan import Plan
from simulator.record import Call
from simulator.refusals import Refused, invalid
from simulator.reply import Reply
from simulator.scenarios import make_plan
from simulator.state import State, Stored
from simulator.validation import check_key, validate

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
                await _Exchange(self._state, call, Headers(scope=scope)).run(connection)
        finally:
            self._state.connections.discard(connection)
            connection.release()


class _Exchange:
    """One call being answered."""

    def __init__(self, state: State, call: Call, headers: Headers) -> None:
        self._state = state
        self._call = call
        self._headers = headers
        self._base_url = state.knobs.public_url or f"http://{headers.get('host', 'localhost')}"

    async def run(self, connection: Connection) -> None:
        """Answer, and note how the call ended."""
        plan = make_plan("", "", knobs=self._state.knobs, tags=self._state.tags)
        scheme = self._headers.get("authorization", "").partition(" ")[0]
        self._call.headers = dict(self._headers) | ({"authorization": scheme} if scheme else {})
        try:
            raw = await connection.body()
            try:
                check_key(self._headers, self._state.knobs.key)
                body = _read_json(raw)
                self._state.record.on_body(body)
                plan = self._plan(body)
            except Refused as exc:
                await self._reply(connection, plan, Ids()).error(exc.refusal, "http")
                return
            ids = Ids(plan.seed if plan.repeatable else None)
            reply = self._reply(connection, plan, ids)
            if plan.ending and plan.stop == "start":
                await reply.end()
            elif plan.fixed:
                await reply.fixed(*plan.fixed)
            elif plan.refusal and not plan.ending:
                await reply.error(plan.refusal, plan.form)
            else:
                await self._answer(body, reply, plan, ids)
        except ClientGone:
            self._call.finished = "client_gone"

    def _plan(self, body: dict[str, Any]) -> Plan:
        call, model = self._call, body.get("model")
        call.prompt = question.prompt_of(body)
        call.model = model if isinstance(model, str) else ""
        call.stream = body.get("stream") is True
        header = self._headers.get("x-simulate", "")
        plan = make_plan(header, call.prompt, knobs=self._state.knobs, tags=self._state.tags)
        call.scenario = plan.scenario
        return plan

    def _reply(self, connection: Connection, plan: Plan, ids: Ids) -> Reply:
        self._call.request_id = ids.plain()
        return Reply(connection, self._call, plan=plan, ids=ids)

    async def _answer(self, body: dict[str, Any], reply: Reply, plan: Plan, ids: Ids) -> None:
        try:
            validate(body)
            given = await self._images(body)
        except Refused as exc:
            await reply.error(exc.refusal, "failed" if self._call.stream else "http")
            return
        self._call.images = [image.seen for image in given]
        answer = compose(body, given, self._searches(body, given, plan), plan=plan, ids=ids)
        self._call.response_id = answer.response["id"]
        items = [_input_item(message, ids) for message in question.messages(body)]
        # Metadata is echoed but not stored: so it was seen on the real service.
        response = answer.response | {"metadata": {}}
        stored = Stored(response, items, given, body.get("previous_response_id"))

        def keep() -> None:
            if body.get("store") is not False:
                self._state.store(stored)

        await reply.answer(answer, self._state.gate, keep)

    async def _images(self, body: dict[str, Any]) -> list[images.SearchImage]:
        """The request's images, or those of the response that it follows."""
        urls, previous = list(question.image_urls(body)), body.get("previous_response_id")
        if previous is not None:
            if not isinstance(previous, str) or previous not in self._state.stored:
                raise invalid(f"Not found previous_response_id: {previous}")
            if not urls:
                return self._state.stored[previous].images
        return [
            await asyncio.to_thread(images.load, url)
            if len(url) > _DECODED_IN_THREAD_CHARS
            else images.load(url)
            for url in urls
        ]

    def _searches(
        self, body: dict[str, Any], given: list[images.SearchImage], plan: Plan
    ) -> Searches:
        """What each search finds, with the index of its image."""
        if not question.may_search(body) or not given:
            return []
        indexes = [min(call, len(given) - 1) for call in range(plan.calls)]
        count = plan.results if plan.found else 0
        return [(index, self._results(given[index], count)) for index in indexes]

    def _results(self, image: images.SearchImage, count: int) -> list[dict[str, Any]]:
        base, pictures = f"{self._base_url}/gallery", gallery.nearest(image.vector, count)
        return [
            {"title": picture.title, "url": f"{base}/{picture.name}.jpg", "index": index}
            for index, picture in enumerate(pictures, 1)
        ]


def _read_json(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError as exc:
        raise invalid("The request body is not valid JSON.") from exc
    if not isinstance(body, dict):
        raise invalid("The request body must be a JSON object.")
    return body


def _input_item(message: dict[str, Any], ids: Ids) -> dict[str, Any]:
    """A message of the request as the list of input items has it."""
    content = message.get("content")
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    fields = {"content": parts, "role": message.get("role", "user"), "status": "completed"}
    return {"id": ids.item(), **fields, "type": "message"}
