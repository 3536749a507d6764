"""A request's way in: who asks, what is asked, with which pictures; in that order."""

from itertools import islice
from typing import Any

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request

from app.api.body import Body, BodyLimits, gather, read_body
from app.api.caller import admit_caller, header_of
from app.api.leaving import came_before_caller_left
from app.api.problems import remember_run
from app.api.schemas import SearchRequest
from app.api.service import Service, service_of
from app.errors import FieldError, ImageMissing, InvalidRequest, ModelNotAllowed
from app.images.memory import MemoryReservation
from app.models import Client, ImageInput, SearchSpec
from app.runs import Opened

IDEMPOTENCY_KEY_MAX_CHARS = 255
"""As in the IETF draft's examples and at well-known payment services."""

NO_CACHE = "no-cache"

ERRORS_MAX = 20
"""Refused fields that are told of at once; whoever sends more has another problem."""


async def open_search(request: Request, *, resumable: bool) -> Opened:
    """Take a search request in and open its search.

    Identity and rate are settled before a byte of the body is read.

    Raises:
        ServiceError: Any refusal of the contract.
    """
    service = service_of(request)
    client = admit_caller(request)
    with service.intake.memory.hold(caller=client.name) as held:
        opened = service.searches.open(
            client,
            await _read_spec(request, client, held),
            memory=held,
            key=idempotency_key(request),
            fresh=_wants_fresh(request),
            resumable=resumable,
        )
    remember_run(request.scope, opened.reader.run)
    return opened


def _wants_fresh(request: Request) -> bool:
    """Whether a finished search will not do; an `EventSource` has no way to say so.

    Browsers put both headers on each of its requests (WHATWG Fetch, "HTTP-network-or-cache fetch":
    the cache mode is `no-store`), also when it only comes back, or its page is loaded again.
    """
    if NO_CACHE not in header_of(request, "cache-control"):
        return False
    return request.method != "GET" or NO_CACHE not in header_of(request, "pragma")


async def _read_spec(request: Request, client: Client, held: MemoryReservation) -> SearchSpec:
    service = service_of(request)
    settings = service.settings
    if request.method == "GET":
        body = _read_query(request)
    else:
        limits = BodyLimits(
            body_bytes=settings.body_max_bytes,
            file_bytes=settings.image_max_bytes,
            files=settings.image_max_count,
            idle_s=settings.upload_idle_timeout_s,
        )
        body = await read_body(request, limits, held)
    fields = _validate(body, service)
    if fields.previous_response_id:
        service.guards.responses.check(fields.previous_response_id, client.name)
    return SearchSpec(
        images=await _take_in(request, fields, body.files, client),
        prompt=fields.prompt,
        model=fields.model or settings.model,
        instructions=fields.instructions,
        previous_response_id=fields.previous_response_id,
        max_output_tokens=fields.max_output_tokens,
        thinking=fields.thinking is not False,
    )


def _read_query(request: Request) -> Body:
    pairs = [(name, value) for name, value in request.query_params.multi_items()]
    return Body(gather([pair for pair in pairs if pair[0] != "access_token"]), [], strict=False)


def _validate(body: Body, service: Service) -> SearchRequest:
    """Check everything that can be refused before a picture is looked at."""
    settings = service.settings
    given = body.fields if body.strict else _filled_in(body.fields)
    _check_counts(given, len(body.files), settings.image_max_count)
    try:
        fields = SearchRequest.model_validate(given, strict=body.strict)
    except ValidationError as exc:
        raise InvalidRequest("A field is not valid.", fields=field_errors(exc)) from exc
    if 0 < settings.prompt_max_chars < len(fields.prompt):
        raise InvalidRequest.of(
            "prompt", f"May have {settings.prompt_max_chars} characters at most."
        )
    if fields.model is not None and fields.model not in settings.models:
        offered = ", ".join(settings.models)
        raise ModelNotAllowed(f"This model is not offered here. Offered are: {offered}.")
    if fields.previous_response_id and not settings.upstream_store:
        raise InvalidRequest.of(
            "previous_response_id", "Answers are not kept here, so none can be followed."
        )
    if not (fields.image_url or body.files or fields.previous_response_id):
        raise ImageMissing("Give an image: 'image_url', or a file in the multipart field 'image'.")
    return fields


def _filled_in(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out the fields that a form was sent with and nobody filled in."""
    known = SearchRequest.model_fields
    filled = {name: value for name, value in fields.items() if value or name not in known}
    if urls := filled.get("image_url"):
        filled["image_url"] = [url for url in urls if url]
    return filled


def _check_counts(fields: dict[str, Any], files: int, most: int) -> None:
    """Refuse what is too much before each of it is looked at, and would be told of."""
    unknown = (name for name in fields if name not in SearchRequest.model_fields)
    errors = [FieldError.named(name, "Is not known.") for name in islice(unknown, ERRORS_MAX)]
    if errors:
        raise InvalidRequest("A field is not valid.", fields=errors)
    urls = fields.get("image_url")
    count = files + (len(urls) if isinstance(urls, list) else urls is not None)
    if count > most:
        raise InvalidRequest.of("image", f"At most {most} images; {count} were given.")


async def _take_in(
    request: Request, fields: SearchRequest, files: list[bytearray], client: Client
) -> tuple[ImageInput, ...]:
    """Make every image fit to send, URLs first; a file is let go of as soon as it is taken in."""
    intake, caller = service_of(request).intake, client.name
    taken: list[ImageInput] = []

    async def take_in() -> None:
        for url in fields.image_url:
            taken.append(await intake.prepare_url(url, caller=caller))  # noqa: PERF401 - see below
        while files:
            taken.append(await intake.prepare(files.pop(0), caller=caller))

    if not await came_before_caller_left(request, take_in()):
        raise ClientDisconnect
    return tuple(taken)


def field_errors(exc: ValidationError) -> list[FieldError]:
    """Name each refused field with the reason, never with the value."""
    errors = exc.errors(include_url=False, include_context=False, include_input=False)
    return [
        FieldError.named(".".join(str(part)[:64] for part in error["loc"]), error["msg"])
        for error in errors[:ERRORS_MAX]
    ]


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= IDEMPOTENCY_KEY_MAX_CHARS:
        raise InvalidRequest.of(
            "Idempotency-Key", f"Must have 1 to {IDEMPOTENCY_KEY_MAX_CHARS} characters."
        )
    return key
