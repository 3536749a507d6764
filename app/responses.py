"""The use case behind `/v1`: a caller's own request to the Responses API, passed on.

Same guards, same upstream, same runs as a search (`app/search.py`), but the log holds the
upstream's words only: its events as they came, or its one JSON body. Nobody joins a run, unless
by repeating an `Idempotency-Key`.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence

from app import telemetry
from app.accounts import Books, account
from app.errors import (
    InvalidRequest,
    OwnError,
    SearchNotFound,
    ServiceError,
    UpstreamRejected,
    problem,
)
from app.guards import Estimate, Guards, Permit
from app.images.memory import MemoryReservation
from app.models import Client, Emit, Event, ResponsesRequest, SearchResult, Status
from app.runs import Opened, Runs
from app.upstream.client import Upstream
from app.upstream.ending import made_failure
from app.upstream.failures import FAILED

ADMITTED = Event("search.admitted", b"{}")
"""Says to the run that the call was let in; own events are not for the callers of `/v1`."""

BODY = "response"
"""The name under which a log holds an answer that came as one JSON body."""

INVALID = frozenset({200, 400})
"""The statuses with which the upstream says so, of which one is of an answer that failed."""


class Responses:
    """Opens calls of the Responses API."""

    def __init__(
        self, *, guards: Guards, upstream: Upstream, runs: Runs, metrics: telemetry.Metrics
    ) -> None:
        self.guards = guards
        self.upstream = upstream
        self.runs = runs
        self.metrics = metrics

    def open(
        self,
        client: Client,
        request: ResponsesRequest,
        *,
        memory: MemoryReservation,
        key: str | None,
    ) -> Opened:
        """Return a reader of the call; see `Runs.open` for what it raises.

        `memory` is what the caller holds for the request; the call holds on to the payload's part.
        """
        estimate = self.guards.estimate_of(
            model=request.model, images=request.images, max_output_tokens=request.max_output_tokens
        )
        opened = self.runs.open(
            client,
            _fingerprint(client, request, key),
            lambda run_id: ResponsesWork(
                run_id,
                client,
                request,
                estimate=estimate,
                memory=memory.transfer(len(request.payload)),
                responses=self,
            ),
            key=key,
            resumable=False,
            listed=False,
            kept=key is not None,
        )
        self.metrics.cache.labels(opened.cache).inc()
        return opened

    async def fetch(
        self,
        client: Client,
        method: str,
        response_id: str,
        *,
        tail: str = "",
        query: Mapping[str, str],
    ) -> bytes:
        """What the upstream says of an answer that it keeps for this client, as JSON text.

        Raises:
            SearchNotFound: There is none, or it is another's: no difference is told.
            ServiceError: The upstream failed.
        """
        try:
            self.guards.responses.check(response_id, client.name)
        except InvalidRequest as exc:
            raise SearchNotFound("No such response, or it is no longer kept.") from exc
        return await self.upstream.fetch(method, f"/responses/{response_id}{tail}", query)


def _fingerprint(client: Client, request: ResponsesRequest, key: str | None) -> str:
    """Equal for repetitions under one idempotency key only."""
    parts = [client.name, key, request.digest] if key is not None else [secrets.token_hex()]
    return hashlib.sha256(json.dumps(["/v1", *parts]).encode()).hexdigest()


class ResponsesWork:
    """What a run of such a call does, and how it ends."""

    def __init__(
        self,
        run_id: str,
        client: Client,
        request: ResponsesRequest,
        *,
        estimate: Estimate,
        memory: MemoryReservation,
        responses: Responses,
    ) -> None:
        self._id = run_id
        self._client = client
        self._model = request.model
        self._stream = request.stream
        self._payload = [request.payload]
        self._estimate = estimate
        self._responses = responses
        self._permit: Permit | None = None
        self._books = Books(
            client, guards=responses.guards, metrics=responses.metrics, memory=memory
        )
        self._final: SearchResult | None = None

    async def run(self, emit: Emit) -> None:
        """Be admitted, then pass on what the upstream says."""
        telemetry.search_id.set(self._id)
        async with self._responses.guards.admit(self._client, self._estimate) as permit:
            self._permit = permit
            emit([ADMITTED])

            def pass_on(events: Sequence[Event]) -> None:
                for event in events:
                    self._books.note(permit, _as_event(event))
                emit(events)

            try:
                await self._ask(pass_on)
            except UpstreamRejected as exc:
                raise _for_whom_it_is(exc) from exc

    async def _ask(self, pass_on: Emit) -> None:
        upstream = self._responses.upstream
        if self._stream:
            await upstream.relay(self._payload, pass_on)
        else:
            pass_on([Event(BODY, await upstream.complete(self._payload))])

    def progress(self, events: Sequence[Event], elapsed_s: float) -> Event:
        """Give no sign of life of its own: these runs have comment lines instead."""
        raise NotImplementedError(events, elapsed_s)  # pragma: no cover - progress is off for them

    def conclude(
        self, events: Sequence[Event], *, error: ServiceError | None, cancelled: bool
    ) -> list[Event]:
        """End the log as the upstream did, or with a failure in its place."""
        self._books.release()
        if error and self._permit and isinstance(error, OwnError):
            # Whatever stopped it here, the upstream was being asked.
            error.may_be_billed = True
        self._final = final = self._sum_up(events, error, cancelled=cancelled)
        if self._permit:
            account(
                final,
                client=self._client,
                metrics=self._responses.metrics,
                elapsed_s=time.time() - self._books.created_at,
            )
        if error is None or not self._stream:
            return []
        return [self._failure(events, error)]

    def result(self, events: Sequence[Event]) -> SearchResult:
        """Sum up what has come so far, or how it ended."""
        return self._final or self._sum_up(events, None, cancelled=False)

    def _failure(self, events: Sequence[Event], error: ServiceError) -> Event:
        """The upstream's own word of its failure, or one made in its place."""
        if error.told_by and error.told_by[0] == FAILED:
            return Event(*error.told_by)
        return made_failure(
            events,
            error,
            model=self._model,
            unknown_id=f"resp_{secrets.token_hex(16)}",
            created_at=int(self._books.created_at),
        )

    def _sum_up(
        self, events: Sequence[Event], error: ServiceError | None, *, cancelled: bool
    ) -> SearchResult:
        answer = self._books.answer.answer(events)
        status: Status = "cancelled" if cancelled else answer.status or "in_progress"
        failure = None
        if error:
            status = "failed"
            failure = problem(error, request_id=telemetry.request_id.get(), search_id=self._id)
        return SearchResult(
            id=self._id,
            status=status,
            model=self._model,
            answer=answer,
            created_at=int(self._books.created_at),
            cost=self._permit.cost if self._permit else None,
            error=failure,
        )


def _for_whom_it_is(rejected: UpstreamRejected) -> ServiceError:
    """What the upstream finds not valid is the caller's own here; an address is not."""
    if rejected.upstream is None or rejected.upstream.status not in INVALID:
        return rejected
    error = InvalidRequest("The upstream refused the request.", upstream=rejected.upstream)
    error.told_by = rejected.told_by
    return error


def _as_event(event: Event) -> Event:
    """An answer in one body as the terminal event that would have held it."""
    if event.type != BODY:
        return event
    return Event("response.completed", b'{"response":%b}' % event.data)
