"""The events of streams as models for OpenAPI: this service's own, and the upstream's."""

from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel, create_model

from app.results import SYNTHETIC_EVENTS

Json = dict[str, Any]

MEMBERS: dict[str, Any] = {
    "response": (Json, Field(description="The response so far, as in OpenAI's API.")),
    "output_index": (int, Field(description="Number of the output item, from 0.")),
    "item": (Json, Field(description="The item: a message, reasoning, or a call of a tool.")),
    "part": (Json, Field(description="The part of the item's content.")),
    "delta": (str, Field(description="The next piece of the text.")),
    "text": (str, Field(description="The whole text.")),
}
UPSTREAM_EVENTS = {
    "response.created": ["response"],
    "response.in_progress": ["response"],
    "response.output_item.added": ["output_index", "item"],
    "response.output_item.done": ["output_index", "item"],
    "response.content_part.added": ["output_index", "part"],
    "response.content_part.done": ["output_index", "part"],
    "response.output_text.delta": ["output_index", "delta"],
    "response.output_text.done": ["output_index", "text"],
    "response.reasoning_text.delta": ["output_index", "delta"],
    "response.reasoning_text.done": ["output_index", "text"],
    "response.reasoning_summary_text.delta": ["output_index", "delta"],
    "response.reasoning_summary_text.done": ["output_index", "text"],
    "response.completed": ["response"],
    "response.incomplete": ["response"],
    "response.failed": ["response"],
}
"""The upstream's events that are documented or were seen, and the members to rely on. They have
more members, and other events are relayed as well; none is listed for those, since a member of the
union that fits any event would keep typed clients from telling events apart."""


def _upstream_event(name: str, members: list[str]) -> type[BaseModel]:
    """The model of an event: `ResponseOutputTextDelta` for `response.output_text.delta`."""
    title = name.replace("_", ".").title().replace(".", "")
    fields = {"type": (Literal[name], Field(description="Name of the event."))}
    fields |= {member: MEMBERS[member] for member in members}
    model: type[BaseModel] = create_model(
        title, __doc__="An event of the Responses API, relayed as it came.", **fields
    )
    return model


RELAYED = tuple(_upstream_event(name, members) for name, members in UPSTREAM_EVENTS.items())
BY_TYPE = Field(discriminator="type")


class ResponseEvent(RootModel[Annotated[reduce(or_, RELAYED), BY_TYPE]]):  # type: ignore[misc] # made at run time
    """`data` of any event of a `/v1` stream."""


class StreamEvent(RootModel[Annotated[reduce(or_, (*SYNTHETIC_EVENTS, *RELAYED)), BY_TYPE]]):  # type: ignore[misc] # as above
    """`data` of any event of a search's stream, told apart by `type`."""
