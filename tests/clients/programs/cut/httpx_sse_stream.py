"""httpx-sse: a stream that is cut is asked for again after its last event."""
# mypy: ignore-errors

import json
import os

import httpx
from httpx_sse import connect_sse

query = {"image_url": os.environ["IMAGE_URL"], "prompt": os.environ["PROMPT"]}
headers, events = {}, []
with httpx.Client(base_url=os.environ["SERVICE"], timeout=60) as http:
    while not events or events[-1][1] != "search.completed":
        with connect_sse(http, "GET", "/search/stream", params=query, headers=headers) as stream:
            try:
                for event in stream.iter_sse():
                    headers = {"Last-Event-ID": event.id}
                    events.append([event.id, event.event, event.data])
            except httpx.TransportError:
                continue
print(json.dumps({"events": events}))
