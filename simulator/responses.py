"""`POST /responses`: reads a request, plans its answer, and sends it."""

import asyncio
import json
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from simulator import gallery, images, question
from simulator.answer import Answer, Searches, compose
from simulator.connection import ClientGone, Connection
from simulator.ids import Ids
from simulator.plan import ErrorReply, Plan
from simulator.record import Call
from simulator.refusals import Form, Refused, invalid
from simulator.reply import Reply
from simulator.scenarios import HEADER, make_plan
from simulator.state import State, Stored
from simulator.validation import check_key, validate

# Decoding longer data URLs would hold up other streams for many milliseconds.
_DECODED_IN_THREAD_CHARS: Final = 400_000


class Responses:
    """The endpoint. A class, so that Starlette leaves `receive` unwrapped (see `connection`)."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with Connection(receive, send) as connection:
            self._state.connections.add(connection)
            try:
                with self._state.record.calling() as call:
                    exchange = _Exchange(self._state, call, scope)
                    try:
                        await exchange.answer(connection)
                    except ClientGone:
                        call.finished = "client_gone"
            finally:
                self._state.connections.discard(connection)


class _Exchange:
    """One call being answered."""

    def __init__(self, state: State, call: Call, scope: Scope) -> None:
        self._state = state
        self._call = call
        self._headers = Headers(scope=scope)
        host = self._headers.get("host", "localhost")
        self._base_url = state.knobs.public_url or f"{scope['scheme']}://{host}"
        call.headers = dict(self._headers.items())
        if "authorization" in call.headers:
            call.headers["authorization"] = call.headers["authorization"].partition(" ")[0]

    async def answer(self, connection: Connection) -> None:
        raw = await connection.body()
        ids, plan = Ids(), make_plan("", "", knobs=self._state.knobs, tags=self._state.tags)
        body: dict[str, Any] = {}
        refused: ErrorReply | None = None
        try:
            check_key(self._headers, self._state.knobs.key)
            body = _read_json(raw)
            plan = self._plan(body)
            ids = Ids(plan.seed if plan.repeatable else None)
        except Refused as exc:
            refused = ErrorReply(exc.refusal)
        self._call.request_id = ids.plain()
        reply = Reply(connection, self._call, plan=plan, ids=ids)
        if refused:
            await reply.error(refused)
        elif plan.stop == "before_headers" and plan.ending:
            await reply.end()
        elif plan.reply:
            await reply.instead(plan.reply)
        else:
            await self._search(body, reply, plan=plan, ids=ids, size_bytes=len(raw))

    def _plan(self, body: dict[str, Any]) -> Plan:
        prompt, model = question.prompt_of(body), body.get("model")
        self._call.prompt = prompt
        self._call.model = model if isinstance(model, str) else ""
        self._call.stream = body.get("stream") is True
        header = self._headers.get(HEADER, "")
        plan = make_plan(header, prompt, knobs=self._state.knobs, tags=self._state.tags)
        self._call.scenario = plan.scenario
        return plan

    async def _search(
        self, body: dict[str, Any], reply: Reply, *, plan: Plan, ids: Ids, size_bytes: int
    ) -> None:
        try:
            validate(body)
            found = await self._images(body)
        except Refused as exc:
            form: Form = "failed" if self._call.stream else "http"
            await reply.error(ErrorReply(exc.refusal, form))
            return
        self._call.images = [image.seen for image in found]
        searches = self._searches(body, found, plan)
        answer = compose(body, found, searches, plan=plan, ids=ids)
        self._call.response_id = answer.response["id"]

        def keep() -> None:
            if body.get("store") is not False:
                self._state.store.add(_stored(body, answer, found, ids=ids, size_bytes=size_bytes))

        if self._call.stream and not plan.always_json:
            await reply.stream(answer, self._state.gate, keep)
        else:
            await reply.whole(answer, keep)

    async def _images(self, body: dict[str, Any]) -> list[images.SearchImage]:
        """The request's images, or those of the response that it follows."""
        previous = body.get("previous_response_id")
        followed = self._state.store.find(previous)
        if previous is not None and followed is None:
            raise invalid(f"Not found previous_response_id: {previous}")
        urls = list(question.image_urls(body))
        if followed and not urls:
            return followed.images
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
        return [
            {
                "title": picture.title,
                "url": f"{self._base_url}/gallery/{picture.name}.jpg",
                "index": index,
            }
            for index, picture in enumerate(gallery.nearest(image.vector, count), 1)
        ]


def _read_json(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError as exc:
        raise invalid("The request body is not valid JSON.") from exc
    if not isinstance(body, dict):
        raise invalid("The request body must be a JSON object.")
    return body


def _stored(
    body: dict[str, Any],
    answer: Answer,
    found: list[images.SearchImage],
    *,
    ids: Ids,
    size_bytes: int,
) -> Stored:
    return Stored(
        # Metadata is echoed but not stored: so it was seen on the real service.
        response=answer.response | {"metadata": {}},
        input_items=[_input_item(message, ids) for message in question.messages(body)],
        images=found,
        previous_response_id=body.get("previous_response_id"),
        size_bytes=size_bytes,
    )


def _input_item(message: dict[str, Any], ids: Ids) -> dict[str, Any]:
    """A message of the request as the list of input items has it."""
    content = message.get("content")
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    fields = {"content": parts, "role": message.get("role", "user"), "status": "completed"}
    return {"id": ids.item(), **fields, "type": "message"}
