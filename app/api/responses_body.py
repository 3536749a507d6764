"""A caller's own request to the Responses API: checked for what must be, else left as it is.

What goes upstream is the bytes that came, unless something in them had to be replaced: an image
that was taken in, or `store` where answers are not kept. What the upstream would fetch by itself,
keep or read of other callers, or charge for, is held against the settings; everything else is
between the caller and the upstream.
"""

import hashlib
import json
from codecs import BOM_UTF8
from itertools import islice
from typing import Any

from starlette.requests import Request

from app.api.body import BodyLimits, read_bytes, require_json
from app.api.parts import Picture, pictures_of
from app.api.service import Service, service_of
from app.errors import InvalidRequest, MalformedBody, ModelNotAllowed
from app.images.memory import MemoryReservation
from app.models import Client, ResponsesRequest

Json = dict[str, Any]


async def read_request(
    request: Request, client: Client, held: MemoryReservation
) -> ResponsesRequest:
    """Read and check the body of `POST /v1/responses`.

    Raises:
        MalformedBody: No JSON object, or one that two readers could understand differently.
        ModelNotAllowed, InvalidRequest: Something in it is not allowed here.
        ImageUrlInvalid, ImageTooLarge, ...: As `ImageIntake.prepare_url`.
    """
    service = service_of(request)
    raw = await _read_json(request, service, held)
    # Parsed, it takes as much once more; what goes upstream is counted by whoever sends it.
    held.grow(len(raw))
    try:
        body = _parse(raw)
        _check(body, service, client)
        pictures = _pictures(body, service)
        changed = await _take_in(pictures, service, client)
        digest = _digest(body, pictures) if "idempotency-key" in request.headers else ""
        changed |= _forbid_keeping(body, service)
        payload = _written(body) if changed else bytes(raw)
    except RecursionError as exc:
        raise MalformedBody("The JSON body is nested too deeply.") from exc
    return ResponsesRequest(
        payload=payload,
        model=body["model"],
        stream=body.get("stream") is True,
        images=len(pictures),
        max_output_tokens=_positive(body.get("max_output_tokens")),
        digest=digest,
    )


async def _read_json(request: Request, service: Service, held: MemoryReservation) -> bytearray:
    require_json(request)
    settings = service.settings
    limits = BodyLimits(
        body_bytes=settings.body_max_bytes,
        file_bytes=0,
        files=0,
        idle_s=settings.upload_idle_timeout_s,
    )
    raw = await read_bytes(request, limits, held)
    if raw.startswith(BOM_UTF8):
        # Parsers may pass over it (RFC 8259 §8.1), and the upstream need not be asked to.
        del raw[: len(BOM_UTF8)]
    return raw


def _parse(raw: bytearray) -> Json:
    """The body's members; strict, since the upstream reads the same bytes with another parser."""
    try:
        body = json.loads(raw.decode(), object_pairs_hook=_once_each, parse_constant=_no_number)
    except ValueError as exc:
        raise MalformedBody("The body is not valid JSON.") from exc
    if not isinstance(body, dict):
        raise MalformedBody("The JSON body must be an object.")
    return body


def _once_each(pairs: list[tuple[str, Any]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedBody("A member of a JSON object is there twice.")
    return members


def _no_number(name: str) -> None:
    raise ValueError(name)


def _check(body: Json, service: Service, client: Client) -> None:
    """Check everything that can be refused before a picture is looked at."""
    settings = service.settings
    model = body.get("model")
    if not isinstance(model, str):
        raise InvalidRequest.of("model", "Is required, and must be a string.")
    if model not in settings.models:
        offered = ", ".join(settings.models)
        raise ModelNotAllowed(f"This model is not offered here. Offered are: {offered}.")
    if not isinstance(body.get("input"), str | list):
        raise InvalidRequest.of("input", "Is required, and must be a string or a list.")
    if not isinstance(body.get("stream"), bool | None):
        raise InvalidRequest.of("stream", "Must be true or false.")
    service.guards.check_tools(_tool_types(body.get("tools")))
    if body.get("conversation") is not None:
        raise InvalidRequest.of(
            "conversation", "Conversations are not offered; see previous_response_id."
        )
    _check_previous(body.get("previous_response_id"), service, client)


def _check_previous(response_id: object, service: Service, client: Client) -> None:
    if response_id is None:
        return
    if not isinstance(response_id, str):
        raise InvalidRequest.of("previous_response_id", "Must be a string.")
    if not service.settings.upstream_store:
        raise InvalidRequest.of(
            "previous_response_id", "Answers are not kept here, so none can be followed."
        )
    service.guards.responses.check(response_id, client.name)


def _tool_types(tools: object) -> list[str]:
    """The kinds of tools that are asked for, each as a string."""
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise InvalidRequest.of("tools", "Must be a list.")
    types = [tool.get("type") if isinstance(tool, dict) else None for tool in tools]
    if not all(isinstance(kind, str) for kind in types):
        raise InvalidRequest.of("tools", "Each must be an object with a type.")
    return [str(kind) for kind in types]


def _pictures(body: Json, service: Service) -> list[Picture]:
    most = service.settings.image_max_count
    pictures = list(islice(pictures_of(body), most + 1))
    if len(pictures) > most:
        raise InvalidRequest.of("input", f"At most {most} images; more were given.")
    return pictures


async def _take_in(pictures: list[Picture], service: Service, client: Client) -> bool:
    """Put each image in as it goes upstream; say whether one is another than it was."""
    changed = False
    for picture in pictures:
        given = picture.url
        image = await service.intake.prepare_url(given, caller=client.name)
        picture.url = image.url.decode()
        picture.digest = image.digest
        changed |= picture.url != given
    return changed


def _digest(body: Json, pictures: list[Picture]) -> str:
    """Equal for bodies that ask the same of the same pictures, however they are written."""
    urls = [picture.url for picture in pictures]
    for picture in pictures:
        picture.url = picture.digest
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    for picture, url in zip(pictures, urls, strict=True):
        picture.url = url
    return digest


def _forbid_keeping(body: Json, service: Service) -> bool:
    """Where the upstream may keep nothing, ask it not to; say whether that changed the body."""
    if service.settings.upstream_store or body.get("store") is False:
        return False
    body["store"] = False
    return True


def _written(body: Json) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except ValueError as exc:
        raise MalformedBody("A number in the body is out of range.") from exc


def _positive(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
