"""`POST /responses`: from a request to the script of its answer, and its performance."""

from __future__ import annotations

import asyncio
import json
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers

from simulator import gallery, script
from simulator.answer import compose, response_json
from simulator.envelopes import compact, failed, flat, nested
from simulator.events import Tally
from simulator.framing import frame
from simulator.ids import Ids
from simulator.keys import check_key, shown
from simulator.line import ClientGone, Line
from simulator.plan import Plan, Refuse, Where
from simulator.question import Question, read_prompt, read_question
from simulator.refusal import Form, Refused, invalid
from simulator.scenarios import HEADER, make_plan, read_wish
from simulator.steps import Wait
from simulator.store import Stored
from simulator.validation import validate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from simulator.images import SeenImage
    from simulator.pictures import Picture
    from simulator.record import Finished, Note
    from simulator.state import State
    from simulator.steps import Step

# Decoding longer data URLs would hold up other streams for many milliseconds.
_DECODED_ASIDE_CHARS: Final = 400_000


class Responses:
    """The endpoint. A class, so that Starlette leaves `receive` unwrapped (see `line`)."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with Line(receive, send) as line:
            self._state.lines.add(line)
            try:
                with self._state.record.calling() as note:
                    await self._answer(line, note, scope)
            finally:
                self._state.lines.discard(line)

    async def _answer(self, line: Line, note: Note, scope: Scope) -> None:
        try:
            answering = _Answering(self._state, note, scope)
            raw = await line.body()
            steps = await answering.steps(raw)
            await line.perform(steps, note=note, gate=self._state.gate, keep=answering.keep)
        except ClientGone:
            note.finished = "client_gone"


class _Answering:
    """One call being decided."""

    def __init__(self, state: State, note: Note, scope: Scope) -> None:
        self._state = state
        self._note = note
        self._headers = Headers(scope=scope)
        self._links = state.knobs.public_url or (
            f"{scope['scheme']}://{self._headers.get('host', 'localhost')}"
        )
        self._ids = Ids(None)
        self._plan = Plan(knobs=state.knobs)
        self._kept: Stored | None = None
        note.headers = shown(self._headers)

    def keep(self) -> None:
        """Store the answer, unless the request said not to."""
        if self._kept is not None:
            self._state.store.keep(self._kept)

    async def steps(self, raw: bytes) -> Iterator[Step]:
        """The script for this request."""
        try:
            check_key(self._headers, self._state.knobs.key)
            body = _read_body(raw)
            self._make_plan(body)
        except Refused as exc:
            self._note.request_id = self._ids.plain()
            return self._refuse(Refuse(refusal=exc.refusal))
        plan = self._plan
        if plan.breaks is not None and plan.breaks.where is Where.START:
            return script.early_script(plan)
        try:
            if plan.instead is None:
                return await self._script(body, len(raw))
            return chain([Wait(plan.headers_delay_s)], self._instead())
        except Refused as exc:
            form: Form = "failed" if self._note.stream else "http"
            return self._refuse(Refuse(refusal=exc.refusal, form=form))

    def _make_plan(self, body: dict[str, Any]) -> None:
        prompt, model = read_prompt(body), body.get("model")
        self._note.prompt = prompt
        self._note.model = model if isinstance(model, str) else ""
        self._note.stream = body.get("stream") is True
        wish = read_wish(self._headers.get(HEADER, ""), prompt)
        self._plan = make_plan(wish, self._state.knobs, self._state.tries)
        self._ids = Ids(self._plan.seed)
        self._note.request_id = self._ids.plain()
        self._note.scenario = self._plan.scenario

    async def _script(self, body: dict[str, Any], size_bytes: int) -> Iterator[Step]:
        validate(body, self._state.store)
        question = read_question(body)
        images = await self._images(question)
        self._note.images = [image.picture for image in images]
        finds = self._search(question, images)
        answer = compose(question, images, finds=finds, plan=self._plan, ids=self._ids)
        self._note.response_id = answer.id
        response = response_json(answer, self._plan)
        if question.store:
            self._kept = self._stored(question, images, response, size_bytes)
        if question.stream and not self._plan.always_json:
            return script.events_script(answer, self._plan, self._note.request_id)
        return script.body_script(answer, response, self._plan, self._note.request_id)

    async def _images(self, question: Question) -> tuple[SeenImage, ...]:
        """The request's images, or those of the response that it follows."""
        images = self._state.images
        if question.image_urls or question.previous_response_id is None:
            return tuple(
                [
                    await asyncio.to_thread(images.take_in, url)
                    if len(url) > _DECODED_ASIDE_CHARS
                    else images.take_in(url)
                    for url in question.image_urls
                ]
            )
        return self._state.store.get(question.previous_response_id).images

    def _search(
        self, question: Question, images: tuple[SeenImage, ...]
    ) -> list[tuple[int, list[dict[str, Any]]]]:
        """What each search finds, with the index of its image."""
        if not question.may_search or not images:
            return []
        shape, count = self._plan.shape, self._plan.knobs.results
        finds = []
        for call in range(shape.calls):
            image = min(call, len(images) - 1)
            pictures = gallery.nearest(images[image].vector, count) if shape.found else []
            finds.append((image, [self._result(*each) for each in enumerate(pictures, 1)]))
        return finds

    def _result(self, index: int, picture: Picture) -> dict[str, Any]:
        url = f"{self._links}/gallery/{picture.name}.jpg"
        return {"title": picture.title, "url": url, "index": index}

    def _stored(
        self,
        question: Question,
        images: tuple[SeenImage, ...],
        response: dict[str, Any],
        size_bytes: int,
    ) -> Stored:
        # Metadata is echoed once and then lost: so it was seen on the real service.
        return Stored(
            response=response | {"metadata": {}},
            input_items=[_input_item(message, self._ids) for message in question.messages],
            images=images,
            previous_response_id=question.previous_response_id,
            size_bytes=size_bytes,
        )

    def _instead(self) -> Iterator[Step]:
        """The script of the refusal or fixed reply that the plan has in place of an answer."""
        instead = self._plan.instead
        if isinstance(instead, Refuse):
            return self._refuse(instead)
        assert instead is not None  # noqa: S101 - tells the type checker what the caller saw
        return script.plain_script(
            instead.status,
            instead.content_type,
            instead.body,
            plan_headers=(*self._request_id(), *instead.headers),
            finished="cut" if instead.status < 300 else "refused",  # noqa: PLR2004 - HTTP's successes
        )

    def _refuse(self, refuse: Refuse) -> Iterator[Step]:
        status, content_type, data = self._refusal(refuse)
        headers = (*self._request_id(), *refuse.headers)
        finished: Finished = "failed" if status < 400 else "refused"  # noqa: PLR2004 - HTTP's errors
        billed = (
            [Tally(tool_calls=1, input_tokens=1000, output_tokens=100)] if refuse.billed else []
        )
        reply = script.plain_script(
            status, content_type, data, plan_headers=headers, finished=finished
        )
        return chain(billed, reply)

    def _refusal(self, refuse: Refuse) -> tuple[int, str, bytes]:
        """Status, content type and body of a refusal in its form."""
        refusal, request_id = refuse.refusal, self._note.request_id
        if refuse.form == "failed":
            response_id, moment = self._ids.response(), self._ids.now_s()
            if self._note.stream:
                beat = script.failed_event(refusal, 1, response_id=response_id, created_at=moment)
                return 200, script.EVENT_STREAM, frame(beat, self._plan.framing)
            body = failed(refusal, response_id=response_id, created_at=moment)
            return 200, script.JSON, compact(body).encode("utf-8", "replace")
        body = flat(refusal, request_id)
        if refuse.form in {"nested", "sse"}:
            body = nested(refusal, request_id)
        data = compact(body).encode("utf-8", "replace")
        if refuse.form == "sse":
            data = b"data: " + data + b"\n\n"
        return refusal.status, script.JSON, data

    def _request_id(self) -> tuple[tuple[str, str], ...]:
        return (("x-request-id", self._note.request_id),)


def _read_body(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError as exc:
        raise Refused(invalid("The request body is not valid JSON.")) from exc
    if not isinstance(body, dict):
        raise Refused(invalid("The request body must be a JSON object."))
    return body


def _input_item(message: dict[str, Any], ids: Ids) -> dict[str, Any]:
    """A message of the request as the list of input items shows it."""
    content = message.get("content")
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    role = message.get("role", "user")
    known = {"content": parts, "role": role, "status": "completed", "type": "message"}
    return {"id": ids.item()} | known
