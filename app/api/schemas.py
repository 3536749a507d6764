"""HTTP bodies: what a search request may hold, and how the answers look to a typed client."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

DEFAULT_PROMPT = "Find visually similar images and describe what they have in common."


def _as_list(value: object) -> object:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _blank_is_default(value: object) -> object:
    blank = value is None or (isinstance(value, str) and not value.strip())
    return DEFAULT_PROMPT if blank else value


def _encodable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise ValueError("Is not valid Unicode.") from exc
    return value


Text = Annotated[str, AfterValidator(_encodable)]
"""JSON can hold half a surrogate pair, which no text upstream can."""

ONE_OR_MORE: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "null"},
    ]
}
TEXT_OR_NULL: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "null"}]}


class SearchRequest(BaseModel):
    """The fields of a search, in JSON, in a form, or in a query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_url: Annotated[list[Text], BeforeValidator(_as_list), WithJsonSchema(ONE_OR_MORE)] = (
        Field(
            default=[],
            description="One or several `http(s)` URLs or `data:image/...;base64,` URLs.",
        )
    )
    prompt: Annotated[Text, BeforeValidator(_blank_is_default), WithJsonSchema(TEXT_OR_NULL)] = (
        Field(default=DEFAULT_PROMPT, description="The question about the image.")
    )
    model: str | None = Field(default=None, description="One of the models this service offers.")
    instructions: Text | None = Field(default=None, description="Passed to the model.")
    previous_response_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,128}$",
        description="An earlier `upstream_response_id`: a follow-up, which needs no image.",
    )
    max_output_tokens: int | None = Field(default=None, ge=16, le=1_000_000)
    thinking: bool | None = Field(
        default=None, description="`false` answers faster, without reasoning."
    )


class FieldProblem(BaseModel):
    field: str
    reason: str


class UpstreamProblem(BaseModel):
    status: int | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | None = None


class Problem(BaseModel):
    """An error body (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    request_id: str
    retry_after: int | None = None
    search_id: str | None = None
    errors: list[FieldProblem] | None = None
    upstream: UpstreamProblem | None = None
    result: "SearchResultBody | None" = None


class MatchBody(BaseModel):
    index: int
    title: str
    url: str
    image: int


class ImageSearchBody(BaseModel):
    image: int
    bbox: Annotated[list[int], Field(min_length=4, max_length=4)]
    count: int


class UsageBody(BaseModel):
    input_tokens: int
    output_tokens: int
    total_tokens: int
    image_search_calls: int


class CostBody(BaseModel):
    currency: Literal["CNY"]
    total: float
    tokens: float
    tools: float


class SearchResultBody(BaseModel):
    """A search, while it runs and when it has ended."""

    id: str
    object: Literal["search"]
    status: Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]
    outcome: Literal["matched", "no_match", "tool_skipped"] | None
    model: str
    text: str
    results: list[MatchBody]
    searches: list[ImageSearchBody]
    usage: UsageBody | None
    cost: CostBody | None
    warnings: list[Literal["text_mentions_unlisted_url", "partial"]]
    error: Problem | None
    upstream_response_id: str | None
    created_at: int
    completed_at: int | None


class Created(BaseModel):
    """`search.created`: always first."""

    search_id: str
    model: str
    created_at: int


class Results(BaseModel):
    """`search.results`: what one call of the tool found."""

    image: int
    bbox: Annotated[list[int], Field(min_length=4, max_length=4)]
    results: list[MatchBody]


class Progress(BaseModel):
    """`search.progress`: a sign of life in a silence."""

    phase: Literal["waiting", "thinking", "searching", "answering"]
    elapsed_s: float


class Failed(BaseModel):
    """`search.failed`: the error, and what had been found before it."""

    error: Problem
    result: SearchResultBody


OWN_EVENTS: dict[str, type[BaseModel]] = {
    "search.created": Created,
    "search.results": Results,
    "search.progress": Progress,
    "search.completed": SearchResultBody,
    "search.cancelled": SearchResultBody,
    "search.failed": Failed,
}
ENDED_AS = {"search.completed": ["completed", "incomplete"], "search.cancelled": ["cancelled"]}
"""The status that tells two events with the same data apart."""
