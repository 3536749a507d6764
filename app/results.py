"""What callers read: the result of a search, the events that this service adds, and errors.

Each type is written once: these models validate, serialize and document. Money is in CNY.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from app.errors import Billed, FieldError, ServiceError, UpstreamReport, leaves
from app.models import Event, Outcome, Phase, Status, well_formed

Text = Annotated[str, AfterValidator(well_formed)]
Money = Annotated[Decimal, PlainSerializer(float, return_type=float)]  # Exact until it is JSON.
CODES = sorted(leaf.code for leaf in leaves())
ErrorCode = Annotated[str, WithJsonSchema({"type": "string", "enum": CODES})]

Type = TypeVar("Type")
WhenKnown = Annotated[Type | None, Field(exclude_if=lambda value: value is None)]
"""Of members that are left out when they are not known."""
Named = Annotated[Type, Field(description="Name of the event.")]


class ApiModel(BaseModel):
    """Base of what is sent: a field with a default is always there."""

    model_config = ConfigDict(
        frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )

    def json_bytes(self) -> bytes:
        return self.model_dump_json().encode()


class Match(ApiModel):
    """A picture that the tool found."""

    index: int = Field(description="Rank in the tool's list, from 1.")
    title: Text = Field(description="Title of the page that shows the picture.")
    url: Text = Field(description="URL of the picture itself, not of its page.")
    image: int = Field(description="Number of the request's image that it resembles, from 0.")


BOX = "Part of the image that was searched: left, top, right, bottom in thousandths of its sides."
BoundingBox = Annotated[tuple[int, int, int, int], Field(description=BOX)]
SearchWarning = Literal["text_mentions_unlisted_url", "partial"]


class ImageSearch(ApiModel):
    """One call of the search tool."""

    image: int = Field(description="Number of the request's image that was searched, from 0.")
    bbox: BoundingBox
    count: int = Field(description="How many pictures were found.")


class Usage(ApiModel):
    """Tokens and tool calls, as counted by the upstream."""

    input_tokens: int = 0
    """Tokens of the request, images and search results included."""
    output_tokens: int = Field(default=0, description="Tokens of the answer, reasoning included.")
    total_tokens: int = Field(default=0, description="Sum of both.")
    image_search_calls: int = Field(default=0, description="How often the search tool was called.")


class Cost(ApiModel):
    """What a search cost."""

    currency: Literal["CNY"] = Field(default="CNY", description="Always CNY.")
    total: Money = Field(description="Tokens and tool calls together.")
    tokens: Money = Field(description="Price of the tokens.")
    tools: Money = Field(description="Fees of the tool calls.")
    estimated: bool = False
    """Whether the upstream did not report its usage, so that the cost is our estimate."""


class Token(ApiModel):
    """A browser token."""

    token: str
    """For `Authorization: Bearer`, or `access_token` on event streams by GET."""
    expires_at: int = Field(description="End of its life, in seconds since 1970.")


class ClientUsage(ApiModel):
    """The calling client's spending of one UTC day."""

    day: date = Field(description="The day, in UTC.")
    currency: Literal["CNY"] = Field(default="CNY", description="Always CNY.")
    spent: Money = Field(description="What its searches have cost.")
    reserved: Money = Field(description="What is set aside for searches under way.")
    budget: Money | None = Field(description="What it may spend in a day; null without a budget.")
    left: Money | None
    """What it may still spend, by its own budget and that of all clients; null without either."""
    searches: int = Field(description="Searches that were admitted, those under way included.")


class Problem(ApiModel, json_schema_serialization_defaults_required=False):
    """An error (RFC 9457)."""

    type: str = Field(description="`urn:imagesearch:` and the code.")
    title: str = Field(description="The code in words.")
    status: int = Field(description="The HTTP status that fits the error.")
    detail: str = Field(description="What happened, for humans.")
    code: ErrorCode = Field(description="What happened, for programs.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    billed: Billed = Field(description="Whether the upstream may have charged for the failed call.")
    retry_after: WhenKnown[int] = Field(None, description="Seconds to wait before trying again.")
    request_id: str = Field(description="Id of the request, as in `X-Request-ID`.")
    search_id: WhenKnown[str] = Field(None, description="Id of the search, if one was started.")
    errors: WhenKnown[list[FieldError]] = Field(None, description="The fields that were refused.")
    upstream: WhenKnown[UpstreamReport] = Field(None, description="What the upstream said.")
    result: WhenKnown["SearchResult"] = None
    """What had been found before the failure: it was paid for."""

    @classmethod
    def of(cls, error: ServiceError, **about: Any) -> Self:
        """What the error says; `about` is the request: `request_id`, `search_id`, `result`."""
        same = ("title", "status", "detail", "code", "retryable", "billed", "upstream")
        about |= {name: getattr(error, name) for name in same}
        about |= {"retry_after": error.wait_s, "errors": list(error.fields) or None}
        return cls(type=f"urn:imagesearch:{error.code}", **about)


class SearchResult(ApiModel):
    """A search: what has come so far, or its final state."""

    id: str = Field(description="Id of the search.")
    object: Literal["search"] = Field(default="search", description="Always `search`.")
    status: Status = Field(description="How far the search is, or how it ended.")
    outcome: Outcome | None
    """Whether pictures were found, or the model did not search; null while unknown."""
    model: Text = Field(description="The model that answers.")
    text: Text = Field(description="The model's answer so far.")
    results: list[Match]
    """Pictures that the search tool found; never taken from the model's text."""
    searches: list[ImageSearch] = Field(description="The calls of the search tool.")
    usage: Usage | None = None
    """Tokens and tool calls; null until the upstream reports them."""
    cost: Cost | None = None
    """What it cost; null until the search has ended, or if the model's price is not configured."""
    warnings: list[SearchWarning] = []
    """`text_mentions_unlisted_url`: the text names a URL that no search returned. `partial`: the
    search failed after results had come."""
    error: Problem | None = Field(default=None, description="Why it failed; null otherwise.")
    upstream_response_id: Text | None = None
    """Id for `previous_response_id` of a follow-up question; null until known."""
    created_at: int = Field(description="Start of the search, in seconds since 1970.")
    completed_at: int | None = None
    """End of the search, in seconds since 1970; null while it runs."""


class SyntheticEvent(ApiModel):
    """An event that this service adds to the upstream's; its name stands in `type`."""

    type: str = Field(description="Name of the event.")

    def as_event(self) -> Event:
        return Event(self.type, self.json_bytes())


class SearchCreated(SyntheticEvent):
    """The first event of every stream."""

    type: Named[Literal["search.created"]] = "search.created"
    search_id: str = Field(description="Id of the search.")
    model: str = Field(description="The model that was asked.")
    created_at: int = Field(description="Start of the search, in seconds since 1970.")


class SearchProgress(SyntheticEvent):
    """Another phase has begun, or nothing else was heard for a while."""

    type: Named[Literal["search.progress"]] = "search.progress"
    phase: Phase = Field(description="What the model is doing.")
    elapsed_s: float = Field(description="Seconds since the start of the search.")


class SearchResults(SyntheticEvent):
    """What one call of the search tool found."""

    type: Named[Literal["search.results"]] = "search.results"
    image: int = Field(description="Number of the request's image that was searched, from 0.")
    bbox: BoundingBox
    results: list[Match] = Field(description="The pictures found; empty if there were none.")


class SearchCompleted(SearchResult, SyntheticEvent):
    """The last event of a search that ended by itself."""

    type: Named[Literal["search.completed"]] = "search.completed"


class SearchFailed(SyntheticEvent):
    """The last event of a search that failed."""

    type: Named[Literal["search.failed"]] = "search.failed"
    error: Problem = Field(description="Why it failed.")
    result: SearchResult = Field(description="What had been found before.")


class SearchCancelled(SearchResult, SyntheticEvent):
    """The last event of a search that was cancelled."""

    type: Named[Literal["search.cancelled"]] = "search.cancelled"


SYNTHETIC_EVENTS = tuple(SyntheticEvent.__subclasses__())
