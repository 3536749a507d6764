"""Ends the runs of replicas that are gone. No replica takes one over: it would pay again."""

import asyncio

from app.errors import OwnerLost
from app.models import Event
from app.runs.entries import Replay, last_fields, read_log
from app.settings import Settings
from app.store import QUIET_MS, Link


class Judge:
    """Ends the runs of those that are named in `dead`, one after another.

    Apart from what finds them, or our own lease would end while many logs are read.
    """

    def __init__(self, settings: Settings, link: Link, replay: Replay) -> None:
        self._link, self._replay = link, replay
        self._ttl_ms = int(settings.search_retention_s * 1_000)
        self.dead = asyncio.Queue[str]()

    async def end_next(self) -> None:
        """Wait for a replica that is gone, and end its runs.

        Raises `Away`: then another finds it in five seconds.
        """
        replica = await self.dead.get()
        for run_id in await self._link.call("SMEMBERS", f"isp:runs:{replica}"):
            await self._judge(replica, run_id.decode())

    async def _judge(self, replica: str, run_id: str) -> None:
        """End a run with what it had found, unless it is alive or has ended."""
        hash_key = f"isp:run:{run_id}"
        listed, estimate = await self._link.call("HMGET", hash_key, "listed", "estimate")
        events: list[Event] = []
        async for entry in read_log(self._link, run_id):
            events += entry.events
        error = OwnerLost()
        last = self._replay.end(run_id, events, error, listed=listed == b"1")
        cost = self._replay.cost(events, (estimate or b"").decode())
        end = (len(events) + len(last), *last_fields(last, error, lost=True))
        how = ("failed", cost, self._ttl_ms, 0, QUIET_MS, len(events))
        judge = ("judge", self._link.replica, run_id, *how)
        (verdict, *_) = await self._link.script("end", *judge, *end)
        if verdict == b"gone":
            await self._link.call("SREM", f"isp:runs:{replica}", run_id)
