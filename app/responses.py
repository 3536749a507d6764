"""The use case behind `/v1`: a caller's own request to the Responses API, passed on."""

import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

from app.errors import InvalidRequest, ServiceError, UpstreamRejected
from app.models import Event
from app.search import Search
from app.upstream.answer import made_end

BODY = "response"  # Type under which the log holds an answer that came as one JSON body.
CALLERS_FAULT = (200, 400)  # Statuses of a refused request; 200: an answer that failed.


def name_of(response_id: str) -> str:
    """The name by which the run is found that brings this response."""
    return f"resp:{response_id}"


class ResponsesCall(Search):
    """The work of one call: the log holds what the upstream sent, its events or one JSON body."""

    def beginning(self) -> list[Event]:
        return []

    async def ask(self) -> AsyncGenerator[Sequence[Event], None]:
        """The upstream's events, or one with its whole answer."""
        payload, upstream = self.request.payload, self.service.upstream
        try:
            if not self.request.stream:
                yield [Event(BODY, await upstream.create(payload, self.call))]
                return
            async with aclosing(upstream.stream(payload, self.call)) as batches:
                async for batch in batches:
                    yield batch
        except UpstreamRejected as exc:
            report, detail = exc.upstream, "The upstream refused the request."
            if report is None or report.status not in CALLERS_FAULT:
                raise
            error = InvalidRequest(detail, upstream=report, billed=exc.billed)
            error.upstream_event, error.usage = exc.upstream_event, exc.usage
            raise error from exc

    def events_after(self, event: Event) -> Iterable[Event]:
        """Nothing: the events are relayed as they are."""
        if event.type == BODY:
            event = Event("response.completed", b'{"response":%b}' % event.data)
        known = self.answer.response_id
        self.add(event)
        brought = self.answer.response_id
        if brought and brought != known and self.request.stream:
            self.service.runs.name(self.run_id, name_of(brought))
        return ()

    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> list[Event]:
        """The upstream's failure event, or one made in its place; nothing after another end."""
        self.finish(error, cancelled=cancelled)
        if not self.request.stream or not (error or cancelled):
            return []
        if error and error.upstream_event:
            return [Event(*error.upstream_event)]
        known = {"model": self.request.model, "created_at": self.created_at}
        return [made_end(self.log.events, error, id=f"resp_{secrets.token_hex(16)}", **known)]
