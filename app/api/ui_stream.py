"""A search's log as the AI SDK's UI message stream, version 1, which its `useChat` reads. Pure.

The SDK gives up at a chunk of a type that it does not know, and at a piece of a part that was not
begun; a stream that is cut without `finish`, `abort` or `error` counts as complete.
"""

from collections.abc import Iterator

from app.models import Event, json_bytes
from app.upstream.answer import CALL, ITEM_DONE, TEXT_DELTA
from app.upstream.lenient import Json, as_object, as_text, parse_object

UI_STREAM_HEADERS = {"X-Vercel-AI-UI-Message-Stream": "v1"}
PARTS = {  # The part of a message that an event's text belongs to.
    TEXT_DELTA: "text",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
}
METADATA = ("usage", "cost", "outcome", "warnings", "upstream_response_id")
"""Members of the result that a message keeps; the last one makes follow-up questions possible."""
BY_PROVIDER: Json = {"providerExecuted": True, "dynamic": True}
DONE = b"data: [DONE]\n\n"


class UiMessageStream:
    """The state of one stream; feed it the events in their order."""

    def __init__(self) -> None:
        self._open_parts: dict[str, str] = {}
        self._calls: set[str] = set()
        self._ended_call = ""

    def encode(self, event: Event, _: int) -> list[bytes]:
        """The frames of an event; none for most of the upstream's."""
        data = parse_object(event.data) or {}
        frames = [b"data: %b\n\n" % json_bytes(chunk) for chunk in self._chunks(event.type, data)]
        last = event.type in ("search.completed", "search.failed", "search.cancelled")
        return [*frames, DONE] if last else frames

    def _chunks(self, event_type: str, data: Json) -> Iterator[Json]:
        if event_type in PARTS:
            yield from self._piece(PARTS[event_type], data)
        match event_type:
            case "search.created":
                metadata = {"model": data["model"]}
                yield {"type": "start", "messageId": data["search_id"], "messageMetadata": metadata}
                yield {"type": "start-step"}
            case "search.progress":
                progress = {name: data[name] for name in ("phase", "elapsed_s")}
                yield {"type": "data-progress", "data": progress, "transient": True}
            case "response.output_item.added" | "response.output_item.done":
                yield from self._item(as_object(data.get("item")), ended=event_type == ITEM_DONE)
            case "search.results":
                yield from self._results(data)
            case "search.completed":
                yield from self._ends(*self._open_parts)
                reason = "stop" if data["status"] == "completed" else "length"
                metadata = {name: data[name] for name in METADATA}
                yield {"type": "finish-step"}
                yield {"type": "finish", "finishReason": reason, "messageMetadata": metadata}
            case "search.failed":
                yield {"type": "error", "errorText": json_bytes(data["error"]).decode()}
            case "search.cancelled":
                yield {"type": "abort", "reason": "The search was cancelled."}

    def _piece(self, part: str, data: Json) -> Iterator[Json]:
        part_id = f"{part}-{as_text(data.get('item_id'))}"
        if part_id not in self._open_parts:
            self._open_parts[part_id] = part
            yield {"type": f"{part}-start", "id": part_id}
        yield {"type": f"{part}-delta", "id": part_id, "delta": as_text(data.get("delta"))}

    def _ends(self, *part_ids: str) -> Iterator[Json]:
        for part_id in part_ids:
            if part := self._open_parts.pop(part_id, None):
                yield {"type": f"{part}-end", "id": part_id}

    def _item(self, item: Json, *, ended: bool) -> Iterator[Json]:
        item_id = as_text(item.get("id"))
        if item.get("type") != CALL:
            yield from self._ends(*(f"{part}-{item_id}" for part in set(PARTS.values()) if ended))
            return
        if item_id not in self._calls:
            self._calls.add(item_id)
            called = {"toolCallId": item_id, "toolName": "image_search", "input": {}}
            yield {"type": "tool-input-available", **called, **BY_PROVIDER}
        if ended:
            self._ended_call = item_id

    def _results(self, data: Json) -> Iterator[Json]:
        """They follow the end of their call."""
        call_id = self._ended_call
        output = {name: data[name] for name in ("image", "bbox", "results")}
        found = {"toolCallId": call_id, "output": output}
        yield {"type": "tool-output-available", **found, **BY_PROVIDER}
        yield {"type": "data-results", "id": call_id, "data": output}
        for match in data["results"]:
            source = {"url": match["url"], "title": match["title"]}
            yield {"type": "source-url", "sourceId": f"{call_id}-{match['index']}", **source}
