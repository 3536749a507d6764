"""The use case behind `/v1`: a caller's own request to the Responses API, passed on.

The log holds only what the upstream sent: its events as they came, or its one JSON body. Nobody
joins such a run, except by repeating an `Idempotency-Key`.
"""

import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from functools import partial

from app.answer_work import AnswerWork, UseCase
from app.errors import InvalidRequest, SearchNotFound, ServiceError, UpstreamRejected
from app.images.memory import MemoryReservation
from app.models import Client, Event, ResponsesRequest, digest_of
from app.runs import Opened, OpenRequest
from app.upstream.response_object import made_end

BODY = "response"  # Type under which the log holds an answer that came as one JSON body.
CALLERS_FAULT = frozenset({200, 400})  # Statuses of a refused request; 200: an answer that failed.


def name_of(response_id: str) -> str:
    """The name by which the run is found that brings this response."""
    return f"resp:{response_id}"


class Responses(UseCase):
    """Opens calls of the Responses API."""

    async def open(
        self,
        client: Client,
        request: ResponsesRequest,
        *,
        memory: MemoryReservation,
        key: str | None,
    ) -> Opened:
        """Return a reader, as `Runs.open` does; a new call keeps its part of `memory`."""
        repeatable = (client.name, key, request.digest) if key is not None else secrets.token_hex()
        wanted = OpenRequest(
            owner=client,
            fingerprint=digest_of("/v1", repeatable),
            start=partial(ResponsesCall, self, client, request, memory),
            key=key,
            resumable=False,
            listed=False,
            kept=key is not None or request.background,
            background=request.background,
        )
        return await self.open_run(wanted)

    async def fetch(
        self, client: Client, method: str, response_id: str, tail: str = "", **params: str
    ) -> bytes:
        """Ask about an answer that the upstream keeps; `SearchNotFound` also for another's."""
        try:
            await self.guards.responses.check(response_id, client.name)
        except InvalidRequest as exc:
            raise SearchNotFound("No such response, or it is no longer kept.") from exc
        async with self.guards.place():
            return await self.upstream.fetch(method, f"/responses/{response_id}{tail}", params)


class ResponsesCall(AnswerWork):
    """The work of one such call's run."""

    @property
    def _streams(self) -> bool:
        return self.request.stream or self.request.background

    async def ask(self) -> AsyncGenerator[Sequence[Event], None]:
        """The upstream's events, or one with its whole answer."""
        payload, upstream = self.request.payload, self.case.upstream
        try:
            if not self._streams:
                yield [Event(BODY, await upstream.create(payload, self.call))]
                return
            async with aclosing(upstream.stream(payload, self.call)) as batches:
                async for batch in batches:
                    yield batch
        except UpstreamRejected as exc:
            raise _as_callers_error(exc) from exc

    def events_after(self, event: Event) -> Iterable[Event]:
        """Nothing: the events are relayed as they are."""
        if event.type == BODY:
            event = Event("response.completed", b'{"response":%b}' % event.data)
        known = self.answer.response_id
        self.add(event)
        brought, run = self.answer.response_id, self.case.runs.get(self.run_id)
        if run and brought and brought != known and self._streams:
            self.case.runs.name(run, name_of(brought))
        return ()

    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> list[Event]:
        """The upstream's failure event, or one made in its place; nothing after another end."""
        self.finish(error, cancelled=cancelled)
        if not self._streams or not (error or cancelled):
            return []
        if error and error.upstream_event:
            return [Event(*error.upstream_event)]
        made_id = f"resp_{secrets.token_hex(16)}"
        known = {"id": made_id, "model": self.model, "created_at": self.created_at}
        return [made_end(self.log.events, error, **known)]


def _as_callers_error(rejected: ServiceError) -> ServiceError:
    """A request that the upstream finds invalid is the caller's own on `/v1`."""
    report, detail = rejected.upstream, "The upstream refused the request."
    if report is None or report.status not in CALLERS_FAULT:
        return rejected
    error = InvalidRequest(detail, upstream=report, billed=rejected.billed)
    error.upstream_event = rejected.upstream_event
    return error
