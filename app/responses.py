"""The use case behind `/v1`: a caller's own request to the Responses API, passed on.

Same guards, upstream, runs and settlement as a search, but the log holds only what the upstream
sent: its events as they came, or its one JSON body. Nobody joins such a run, except by repeating
an `Idempotency-Key`.
"""

import hashlib
import json
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from app.errors import InvalidRequest, SearchNotFound, ServiceError, UpstreamRejected
from app.images.memory import MemoryReservation
from app.models import Client, Event, ResponsesRequest
from app.results import SearchResult
from app.runs import EventLog, Opened
from app.upstream.failed_event import made_failure
from app.upstream.failures import FAILED
from app.usage import UsageRecorder, UseCase

BODY = "response"
"""Type under which the log holds an answer that came as one JSON body."""

CALLERS_FAULT = frozenset({200, 400})
"""Statuses of a refusal that is about the request; 200 is that of an answer that failed."""


class Responses(UseCase):
    """Opens calls of the Responses API."""

    def open(
        self,
        client: Client,
        request: ResponsesRequest,
        *,
        memory: MemoryReservation,
        key: str | None,
    ) -> Opened:
        """Return a reader of the call; see `Runs.open` for what it raises.

        `memory` is what the caller holds for the request; the call keeps the payload's part of it.
        """

        def start(run_id: str, log: EventLog) -> ResponsesCall:
            recorder = UsageRecorder(self, client, request, run_id=run_id, log=log, memory=memory)
            return ResponsesCall(self, request, recorder)

        opened = self.runs.open(
            client,
            _fingerprint(client, request, key),
            start,
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
        params: Mapping[str, str],
    ) -> bytes:
        """Ask the upstream about an answer that it keeps for this client; JSON text.

        Raises:
            SearchNotFound: There is none, or it is another's: no difference is shown.
            ServiceError: No place came free, or the upstream failed.
        """
        try:
            self.guards.responses.check(response_id, client.name)
        except InvalidRequest as exc:
            raise SearchNotFound("No such response, or it is no longer kept.") from exc
        async with self.guards.capacity.place():
            return await self.upstream.fetch(method, f"/responses/{response_id}{tail}", params)


class ResponsesCall:
    """The work of one such call's run."""

    def __init__(self, case: UseCase, request: ResponsesRequest, recorder: UsageRecorder) -> None:
        self._stream = request.stream
        self._payload = [request.payload]
        self._recorder = recorder
        self._upstream = case.upstream

    async def events(self) -> AsyncGenerator[Sequence[Event], None]:
        """Be admitted, then pass on what the upstream sends."""
        async with self._recorder.admitted():
            yield []
            try:
                async with aclosing(self._answer()) as batches:
                    async for batch in batches:
                        yield batch
            except UpstreamRejected as exc:
                raise _as_callers_error(exc) from exc

    async def _answer(self) -> AsyncGenerator[Sequence[Event], None]:
        recorder = self._recorder
        if not self._stream:
            body = await self._upstream.create(self._payload, recorder.call)
            recorder.add(Event("response.completed", b'{"response":%b}' % body))
            yield [Event(BODY, body)]
            return
        async with aclosing(self._upstream.stream(self._payload, recorder.call)) as batches:
            async for batch in batches:
                for event in batch:
                    recorder.add(event)
                yield batch

    def progress(self) -> Event:
        """Never asked for: these runs are opened without it."""
        raise NotImplementedError

    def conclude(self, error: ServiceError | None, *, cancelled: bool) -> list[Event]:
        """The upstream's failure event, or one made in its place; nothing after another end."""
        self._recorder.conclude(error, cancelled=cancelled)
        if error is None or not self._stream:
            return []
        if error.upstream_event and error.upstream_event[0] == FAILED:
            return [Event(*error.upstream_event)]
        failure = made_failure(
            self._recorder.log.events,
            error,
            model=self._recorder.model,
            unknown_id=f"resp_{secrets.token_hex(16)}",
            created_at=self._recorder.created_at,
        )
        return [failure]

    def result(self) -> SearchResult:
        """What has come so far, or the final state."""
        return self._recorder.result()


def _fingerprint(client: Client, request: ResponsesRequest, key: str | None) -> str:
    """Equal only for repetitions with one idempotency key."""
    parts = [client.name, key, request.digest] if key is not None else [secrets.token_hex()]
    return hashlib.sha256(json.dumps(["/v1", *parts]).encode()).hexdigest()


def _as_callers_error(rejected: UpstreamRejected) -> ServiceError:
    """A request that the upstream finds invalid is the caller's own on `/v1`."""
    if rejected.upstream is None or rejected.upstream.status not in CALLERS_FAULT:
        return rejected
    error = InvalidRequest(
        "The upstream refused the request.", upstream=rejected.upstream, billed=rejected.billed
    )
    error.upstream_event = rejected.upstream_event
    return error
