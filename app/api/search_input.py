"""A search on its way in: the body, its fields, its images; then it is opened."""

from starlette.requests import Request

from app.api.bodies import (
    JSON,
    MULTIPART,
    BodyLimits,
    media_type_of,
    read_form,
    read_json,
    validated,
)
from app.api.checks import check_follow_up, check_image_count, check_length, check_model
from app.api.dependencies import header_of
from app.api.disconnects import wait_unless_disconnected
from app.api.schemas import SearchRequest, StreamQuery, TextFields
from app.api.service import Service
from app.errors import ImageMissing, MalformedBody
from app.images.memory import MemoryReservation
from app.models import Client, SearchSpec
from app.runs import Opened


async def open_upload(
    request: Request, service: Service, client: Client, *, key: str | None, resumable: bool
) -> Opened:
    """Read a request's body, and open its search. Nothing of the body is held here afterwards.

    Raises:
        ServiceError: It is refused.
        ClientDisconnect: The client left meanwhile; no search is started.
    """
    with service.intake.memory.hold(caller=client.name) as memory:
        fields, files = await _read(request, BodyLimits.of(service.settings), memory)
        spec = await _prepare(request, service, client, fields, files)
        # EventSource libraries send this header too, but by GET only.
        no_cache = "no-cache" in header_of(request, "cache-control")
        fresh = bool(fields.fresh) or no_cache
        opened = service.searches.open(
            client, spec, memory=memory, key=key, fresh=fresh, resumable=resumable
        )
    return _noted(request, opened)


async def open_query(
    request: Request, service: Service, client: Client, fields: StreamQuery, *, key: str | None
) -> Opened:
    """Open the search of query parameters; raises as `open_upload`."""
    with service.intake.memory.hold(caller=client.name) as memory:
        spec = await _prepare(request, service, client, fields, [])
        fresh = bool(fields.fresh)
        opened = service.searches.open(client, spec, memory=memory, key=key, fresh=fresh)
    return _noted(request, opened)


def _noted(request: Request, opened: Opened) -> Opened:
    """Have the response and the log say which search it is."""
    request.state.run = opened.reader.run
    request.state.headers["X-Cache"] = opened.cache
    return opened


async def _read(
    request: Request, limits: BodyLimits, memory: MemoryReservation
) -> tuple[SearchRequest, list[bytes]]:
    match media_type_of(request):
        case "application/json":
            found = (await read_json(request, limits, memory)).found
            return validated(SearchRequest, found, strict=True), []
        case "multipart/form-data":
            found = await read_form(request, limits, memory)
            files = found.pop("image", [])
            return validated(TextFields, found, strict=False), files
    raise MalformedBody(f"The Content-Type must be {JSON} or {MULTIPART}.")


async def _prepare(
    request: Request, service: Service, client: Client, fields: SearchRequest, files: list[bytes]
) -> SearchSpec:
    """Check all that can be refused before an image is looked at, then prepare the images."""
    count = len(fields.image_url) + len(files)
    check_image_count(service, count)
    check_length(service, "prompt", len(fields.prompt))
    check_length(service, "instructions", len(fields.instructions or ""))
    check_model(service, fields.model or service.settings.model)
    check_follow_up(service, client, fields.previous_response_id)
    if not (count or fields.previous_response_id):
        raise ImageMissing("Give an image: 'image_url', or a file in the multipart field 'image'.")
    return await wait_unless_disconnected(request, _spec(service, client, fields, files))


async def _spec(
    service: Service, client: Client, fields: SearchRequest, files: list[bytes]
) -> SearchSpec:
    intake, caller = service.intake, client.name
    images = [await intake.prepare_url(url, caller=caller) for url in fields.image_url]
    while files:  # Each is freed as soon as it is prepared.
        images.append(await intake.prepare(files.pop(0), caller=caller))
    return SearchSpec(
        images=tuple(images),
        prompt=fields.prompt,
        model=fields.model or service.settings.model,
        instructions=fields.instructions,
        previous_response_id=fields.previous_response_id,
        max_output_tokens=fields.max_output_tokens,
        thinking=fields.thinking is not False,
    )
