"""Which of our errors a failure of the upstream is: `error_table.toml` says it, row by row."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter

from app import errors
from app.errors import InvalidRequest, ServiceError

NEVER, ALWAYS = re.compile(r"(?!)"), re.compile("")
REFUSALS, FAILURES = range(400, 500), range(500, 600)
EARLIER_RESPONSE = "previous_response_id"
TIMED_OUT = re.compile(r"timed?.?out", re.IGNORECASE)
DETAILS: dict[type[ServiceError], str] = {  # Where the title says too little.
    errors.ImageDimensions: "An image's dimensions are not accepted upstream.",
    errors.ImageTooLarge: "An image is too large for the upstream.",
    errors.ImageUnfetchable: "The upstream could not download or decode an image.",
    errors.UpstreamTimeout: "The upstream gave up at its own limit on the total time.",
}
REASONS = {  # Why a field is refused.
    "prompt": "longer than the model takes, or with a reserved token in it",
    "max_output_tokens": "out of the model's range",
    EARLIER_RESPONSE: "the upstream knows no such response",
}
BY_CODE = {leaf.code: leaf for leaf in errors.leaves()}


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as the upstream reported it: its code, and the one that stood in the message."""

    status: int
    codes: tuple[str, str]
    message: str
    has_usage: bool

    @property
    def plain_codes(self) -> list[str]:
        """The codes in one spelling: `limit_requests` and `LimitRequests` are one."""
        plain = (re.sub(r"[\s_-]", "", code.lower()) for code in self.codes)
        return [code.removeprefix("internalerror.algo.") for code in plain]


class Row(BaseModel):
    """Fits a failure by one of its codes, by its message, or by its status."""

    model_config = ConfigDict(extra="forbid")

    error: Annotated[type[ServiceError], BeforeValidator(BY_CODE.__getitem__)]
    source: str
    codes: list[re.Pattern[str]] = []
    messages: list[re.Pattern[str]] = []
    statuses: re.Pattern[str] = NEVER
    within: re.Pattern[str] = ALWAYS
    field: str = ""

    def make(self, failure: Failure) -> ServiceError | None:
        """The error for this failure, if the row fits."""
        status, message, codes = str(failure.status), failure.message.lower(), failure.plain_codes
        found = filter(None, (one.search(message) for one in self.messages))
        fits = next(found, None) if self.within.match(status) else None
        if fits and self.error is InvalidRequest:
            field = self.field or fits["field"]
            return InvalidRequest.of(field, REASONS.get(field, "the upstream refused the value"))
        coded = any(one.fullmatch(code) for one in self.codes for code in codes)
        if fits or coded or self.statuses.fullmatch(status):
            return self.error(DETAILS.get(self.error, ""))
        return None


TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
ROWS = TypeAdapter(list[Row]).validate_python(TABLE["rows"])


def classify(failure: Failure) -> ServiceError:
    """Our error for what the upstream reported, with a sentence of our own."""
    error = next((made for row in ROWS if (made := row.make(failure))), None)
    error = error or errors.UpstreamUnavailable("The upstream failed on its own side.")
    if isinstance(error, errors.ImageUnfetchable):
        error.retryable = bool(TIMED_OUT.search(failure.codes[0] + failure.message))
    # What was refused costs nothing, unless usage was reported.
    gave_up = isinstance(error, errors.UpstreamTimeout) and failure.status not in REFUSALS
    broke = isinstance(error, errors.UpstreamUnavailable) and failure.status in FAILURES
    error.billed = "maybe" if failure.has_usage or gave_up or broke else "no"
    return error
