"""The use case: one search, from a client's request to the last event of its log."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from functools import partial

from app.answer_work import AnswerWork, UseCase
from app.errors import ServiceError
from app.images.memory import MemoryReservation
from app.models import Client, Event, ResponsesRequest, digest_of
from app.results import SearchCancelled, SearchCompleted, SearchCreated, SearchFailed
from app.runs import Opened, OpenRequest
from app.upstream.answer import phase


class Searches(UseCase):
    """Opens searches: joins the one that already answers the request, or starts one."""

    async def open(
        self,
        client: Client,
        request: ResponsesRequest,
        *,
        memory: MemoryReservation,
        key: str | None = None,
        fresh: bool = False,
        resumable: bool = True,
        background: bool = False,
    ) -> Opened:
        """Return a reader, as `Runs.open` does; a new search keeps its part of `memory`."""
        wanted = OpenRequest(
            owner=client,
            fingerprint=digest_of(client.name, request.digest),
            start=partial(Search, self, client, request, memory),
            key=key,
            fresh=fresh,
            resumable=resumable,
            background=background,
            progress_s=self.settings.stream_progress_s,
        )
        return await self.open_run(wanted)


class Search(AnswerWork):
    """The work of one search's run: our events beside the upstream's."""

    def beginning(self) -> list[Event]:
        created = SearchCreated(search_id=self.run_id, model=self.model, created_at=self.created_at)
        return [created.as_event()]

    def ask(self) -> AsyncGenerator[Sequence[Event], None]:
        return self.case.upstream.stream(self.request.payload, self.call)

    def events_after(self, event: Event) -> Iterator[Event]:
        """What a call of the tool found, and the phase that begins."""
        if found := self.add(event):
            yield found.as_event()
        began = phase(event)
        if began and began != self.phase:
            self.phase = began
            if self.case.settings.stream_progress_s:
                yield self.progress()

    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> list[Event]:
        """The upstream's own failure event, if it sent one, and the terminal event."""
        result = self.finish(error, cancelled=cancelled)
        if cancelled:
            return [SearchCancelled.model_construct(**dict(result)).as_event()]
        if error is None or result.error is None:
            return [SearchCompleted.model_construct(**dict(result)).as_event()]
        relayed = [Event(*error.upstream_event)] if error.upstream_event else []
        return [*relayed, SearchFailed(error=result.error, result=result).as_event()]
