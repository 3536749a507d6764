"""Ends the runs of replicas that are gone. No replica takes one over: it would pay again."""

from app.errors import OwnerLost
from app.runs.entries import Replay, ending, read_log
from app.store import QUIET_MS, Link


async def end_runs(link: Link, replay: Replay, replica: str, *, ttl_ms: int) -> None:
    """End what a replica that is gone has left, with what was found, unless it has ended.

    Raises `Away`: then another finds it in five seconds.
    """
    for run_id in await link.call("SMEMBERS", left := f"isp:runs:{replica}"):
        if await _end(link, replay, run_id.decode(), ttl_ms) == b"gone":
            await link.call("SREM", left, run_id)


async def _end(link: Link, replay: Replay, run_id: str, ttl_ms: int) -> bytes:
    listed, estimate = await link.call("HMGET", f"isp:run:{run_id}", "listed", "estimate")
    events = [entry.event for entry in await read_log(link, run_id)]
    error = OwnerLost()
    last = replay.end(run_id, events, error, listed=listed == b"1")
    cost = replay.cost(events, (estimate or b"").decode())
    how = ("failed", cost, ttl_ms, 0, QUIET_MS, len(events))
    end = ending([], last, len(events), error)
    verdict: list[bytes] = await link.script("end", "judge", link.replica, run_id, *how, *end)
    return verdict[0]
