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
    ("response",): "created in_progress completed incomplete failed",
    ("output_index", "item"): "output_item.added output_item.done",
    ("output_index", "part"): "content_part.added content_part.done",
    ("output_index", "delta"): (
        "output_text.delta reasoning_text.delta reasoning_summary_text.delta"
    ),
    ("output_index", "text"): "output_text.done reasoning_text.done reasoning_summary_text.done",
}
"""The upstream's `response.*` events that are documented or were seen, by the members to rely on.
Others are relayed as well; none is listed for those, since a member of the union that fits any
event would keep typed clients from telling events apart."""


def _upstream_event(name: str, members: tuple[str, ...]) -> type[BaseModel]:
    """The model of an event: `ResponseOutputTextDelta` for `response.output_text.delta`."""
    title = name.replace("_", ".").title().replace(".", "")
    fields: Json = {"type": (Literal[name], Field(description="Name of the event."))}
    fields |= {member: MEMBERS[member] for member in members}
    model: type[BaseModel] = create_model(
        title, __doc__="An event of the Responses API, relayed as it came.", **fields
    )
    return model


RELAYED = tuple(
    _upstream_event(f"response.{name}", members)
    for members, names in UPSTREAM_EVENTS.items()
    for name in names.split()
)
BY_TYPE = Field(discriminator="type")


class ResponseEvent(RootModel[Annotated[reduce(or_, RELAYED), BY_TYPE]]):  # type: ignore[misc] # made at run time
    """`data` of any event of a `/v1` stream."""


class StreamEvent(RootModel[Annotated[reduce(or_, (*SYNTHETIC_EVENTS, *RELAYED)), BY_TYPE]]):  # type: ignore[misc] # as above
    """`data` of any event of a search's stream, told apart by `type`."""
