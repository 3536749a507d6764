"""Money, at random: two thousand searches that end anyhow are charged what they may have cost."""

import asyncio
import base64
import json
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import pytest

from simulator.record import Call
from tests.clock import settle
from tests.e2e.asking import IMAGE_URL
from tests.e2e.images.files import encoded, noise, png
from tests.e2e.money import FEE, INPUT, OUTPUT, price
from tests.processes import Process, service, simulator
from tests.wire import Wire, dial, events_of, request

SEED = int(os.environ.get("MONEY_SEED", "21"))
ROUNDS, SEARCHES, AT_DRAIN, AT_ONCE = 8, 250, 30, 24
"""Processes; searches of each; those of them that its shutdown meets; callers at once."""
GUARD_S = 200
CLIENTS = [f"client{number}" for number in range(6)]
ZERO = Decimal(0)

WELL = ("normal", "no_results", "no_tool_call", "usage_without_x_tools", "incomplete")
REFUSING = ("http_400", "http_429", "data_inspection", "throttled_200", "backend_overflow")
BREAKING = (
    *("usage_missing", "no_terminal", "cut_after_results", "reset_mid_stream", "http_500"),
    *("reset_before_headers", "failed_mid_stream", "fails_after_billing", "empty_200"),
)
ENDLESS = ("stall after=14", "stall after=5", "stall_before_first", "hang")
REFUSED = {"upstream_rejected", "invalid_request", "content_blocked", "upstream_rate_limited"}
STREAMS = ("POST /search/stream", "GET /search/stream")
WAYS = ("POST /search", "POST /v1/responses", *STREAMS)

FILES = (encoded(noise(60, 60).quantize(), "GIF"), png(noise(350, 350)))
"""A GIF waits for a worker, a PNG takes some writes."""
PICTURES = [IMAGE_URL] * 3 + [f"data:;base64,{base64.b64encode(file).decode()}" for file in FILES]


def key_of(client: str) -> dict[str, str]:
    return {"Authorization": f"Bearer key-of-{client}"}


@dataclass(frozen=True)
class Asked:
    """One request: who sends it, how it is to end, and what is set aside for it."""

    number: int
    client: str
    way: str
    scenario: str
    ending: str
    body: dict[str, Any]
    reserved: Decimal

    @property
    def data(self) -> bytes:
        method, path = self.way.split(" ")
        headers = key_of(self.client) | {"X-Request-ID": f"n{self.number}"}
        if method == "GET":
            return request(method, path, query=self.body, headers=headers)
        return request(method, path, body=self.body, headers=headers)


def make(chance: random.Random, number: int, *, at_drain: bool) -> Asked:
    way = chance.choice(WAYS)
    scenario = chance.choice([*WELL, *WELL, *REFUSING, *BREAKING, *ENDLESS])
    endings = ["leave", "leave after events", "cancel", "end", "cancel after the end"]
    if scenario in ENDLESS and not at_drain:
        endings = endings[:3]
    ending = "end" if at_drain else chance.choice(endings)
    if scenario in ENDLESS and ending != "end" and way not in STREAMS:
        ending = "leave"
    text = f"[sim {scenario}] number {number}. {'x' * chance.choice([0, 9, 900, 7_000])}"
    output = chance.choice([None, None, 16, 2_000, 65_536])
    instructions = chance.choice([None, "Be short." * chance.randrange(1, 400)])
    urls = [chance.choice(PICTURES) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
    if way == "GET /search/stream":
        urls = [IMAGE_URL for _ in urls]
    options = {"max_output_tokens": output, "instructions": instructions}
    body: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if way.startswith("POST /v1"):
        images = [{"type": "input_image", "image_url": url} for url in urls]
        content = [{"type": "input_text", "text": text}, *images]
        body |= {"model": "qwen3.7-plus", "input": [{"role": "user", "content": content}]}
        body |= {"tools": [{"type": "image_search"}], "stream": chance.random() < 0.5}
    else:
        body |= {"image_url": urls, "prompt": text}
    tokens = 10_000 + len(text) + len(instructions or "")
    reserved = len(urls) * FEE + tokens * INPUT + (output or 2_000) * OUTPUT
    client = chance.choice(CLIENTS)
    return Asked(number, client, way, scenario, ending, body, reserved)


async def play(process: Process, chance: random.Random, asked: Asked) -> None:
    """Ask, and end as is asked for, or sooner where the service ends it."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        async with asyncio.timeout(GUARD_S), dial(process.url) as wire:
            wire.send(asked.data)
            if asked.ending == "leave" or (asked.scenario in ENDLESS and "end" not in asked.ending):
                await settle(chance.choice([0, 1, 5, 30, 200, 1_000]))
            if asked.ending != "leave":
                await read(process, chance, asked, wire)
            wire.reset()


async def read(process: Process, chance: random.Random, asked: Asked, wire: Wire) -> None:
    head = await wire.head()
    if not head.headers["content-type"].startswith("text/event-stream"):
        return
    wanted = 10_000 if "end" in asked.ending else chance.randrange(1, 20)
    if asked.scenario in ENDLESS and asked.ending != "end":
        wanted = chance.randrange(1, 3)
    stream = b""
    while len(events_of(stream)) < wanted and (piece := await wire.piece()):
        stream += piece
    if "cancel" in asked.ending and (search_id := head.headers.get("x-search-id")):
        async with httpx.AsyncClient(base_url=process.url, headers=key_of(asked.client)) as http:
            await http.delete(f"/search/{search_id}")


async def play_all(process: Process, chance: random.Random, searches: Iterable[Asked]) -> None:
    left = iter(searches)

    async def caller() -> None:
        for asked in left:
            await play(process, chance, asked)

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))


async def usage_of(http: httpx.AsyncClient, client: str) -> dict[str, Any]:
    answer = await http.get("/usage", headers=key_of(client))
    # As decimals: what is shown is compared to the last digit.
    found: dict[str, Any] = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)
    return found


async def rest(http: httpx.AsyncClient) -> str:
    """Wait until no search is under way; the metrics of then."""
    while "imagesearch_runs_active 0.0\n" not in (text := (await http.get("/metrics")).text):
        await settle(100)
    return text


def ended(process: Process) -> dict[int, dict[str, Any]]:
    """What the log says of each search that was admitted and has ended."""
    lines = [json.loads(line) for line in process.lines if "search ended" in line]
    assert len({line["request_id"] for line in lines}) == len(lines)
    return {int(line["request_id"].removeprefix("n")): line for line in lines}


def check(asked: Asked, line: dict[str, Any] | None, calls: Sequence[Call]) -> str:
    """Hold what one search was charged against the stand-in's record of it; how it ended."""
    what = f"{asked.number}: {asked.way}, {asked.scenario}, {asked.ending}, {line}, {calls}"
    assert len(calls) <= 1, what
    if line is None:
        assert not calls, what
        return "never admitted"
    cost, owed = Decimal(line["cost_cny"]), price(calls)
    assert line["client"] == asked.client, what
    if not calls:
        assert cost == 0, what
        return "never asked"
    if line["status"] in {"completed", "incomplete"} and asked.scenario != "usage_missing":
        assert cost == owed, what
        return "told"
    if line["code"] in REFUSED and asked.scenario in REFUSING:
        assert cost == owed == ZERO, what
        return "refused"
    assert cost >= owed, what
    return f"not told: {line['status']}"


async def play_round(chance: random.Random, first: int) -> Counter[str]:
    """One process, from its start to its drain."""
    per_client, total = chance.choice([(0, 0), (6, 0), (0, 25), (6, 25), (2, 10)])
    limits = {
        "BUDGET_CLIENT_CNY_PER_DAY": str(per_client),
        "BUDGET_TOTAL_CNY_PER_DAY": str(total),
        "CAPACITY": str(chance.choice([8, 16, 100])),
        "CAPACITY_WAIT_S": chance.choice(["0", "0.05", "1"]),
        "STREAM_LINGER_S": chance.choice(["0", "0.1"]),
        "SHUTDOWN_GRACE_S": chance.choice(["0", "0.3"]),
    }
    keys = ",".join(f"{name}:key-of-{name}" for name in CLIENTS)
    fixed = {"CLIENT_KEYS": keys, "ALLOW_ANONYMOUS": "false", "IMAGE_WORKERS": "1"}
    fixed |= {"UPSTREAM_RETRIES": "0", "STREAM_COMMIT_S": "0.05", "RATE_LIMIT": "0"}
    last = first + SEARCHES - AT_DRAIN
    searches = [make(chance, n, at_drain=n >= last) for n in range(first, first + SEARCHES)]
    pace = {"SIMULATOR_PACE_S": "0.002", "SIMULATOR_SILENCE_S": "0.01"}
    async with (
        simulator(**pace) as upstream,
        service(upstream, **limits, **fixed) as process,
        httpx.AsyncClient(base_url=process.url, timeout=GUARD_S) as http,
    ):
        await play_all(process, chance, searches[:-AT_DRAIN])
        metrics = await rest(http)
        usages = {client: await usage_of(http, client) for client in CLIENTS}
        draining = asyncio.create_task(play_all(process, chance, searches[-AT_DRAIN:]))
        await settle(chance.choice([100, 1_000, 3_000]))
        process.signal(signal.SIGTERM)
        await draining
        assert await process.ended() == 0, process.said
        async with httpx.AsyncClient(base_url=upstream.url, timeout=GUARD_S) as asking:
            while (record := (await asking.get("/record?last=50000")).json())["open"]:
                pass
        lines = ended(process)
    calls: dict[int, list[Call]] = defaultdict(list)
    for call in (Call(**one) for one in record["calls"]):
        calls[int(call.prompt.partition("number ")[2].partition(".")[0])].append(call)
    seen = Counter(check(asked, lines.get(asked.number), calls[asked.number]) for asked in searches)
    before = {number: line for number, line in lines.items() if number < last}
    costs = {client: costs_of(before, [client]) for client in CLIENTS}
    for client in CLIENTS:
        spent = sum(costs[client].values(), ZERO)
        shown = [usages[client][name] for name in ("spent", "reserved", "searches")]
        assert shown == [spent, 0, len(costs[client])]
        label = f'imagesearch_spend_cny_total{{client="{client}"}} '
        counted = metrics.partition(label)[2].partition("\n")[0]
        assert abs(Decimal(counted or 0) - spent) < Decimal("1e-9")
        holds(per_client, costs[client], searches)
    holds(total, costs_of(before, CLIENTS), searches)
    return seen


def costs_of(lines: dict[int, dict[str, Any]], clients: Sequence[str]) -> dict[int, Decimal]:
    return {
        number: Decimal(line["cost_cny"])
        for number, line in lines.items()
        if line["client"] in clients
    }


def holds(budget: int, costs: dict[int, Decimal], searches: Sequence[Asked]) -> None:
    """Overspending is at most one reservation, and what searches cost above theirs."""
    reserved = {asked.number: asked.reserved for asked in searches}
    above = sum((max(ZERO, cost - reserved[n]) for n, cost in costs.items()), ZERO)
    most = max(reserved.values())
    assert not budget or sum(costs.values(), ZERO) <= budget + most + above


@pytest.mark.timeout(900)
async def test_two_thousand_searches_are_charged_by_how_they_ended() -> None:
    chance, seen = random.Random(SEED), Counter[str]()
    for number in range(ROUNDS):
        seen += await play_round(chance, number * SEARCHES)
    assert seen.total() == ROUNDS * SEARCHES
    for how in ("never admitted", "told", "refused", "not told: failed", "not told: cancelled"):
        assert seen[how] >= SEARCHES // 25, seen
