"""What `/search` and `/v1` check alike, by the settings."""

from app.api.service import Service
from app.errors import InvalidRequest, ModelNotAllowed
from app.models import Client


def check_model(service: Service, model: str) -> None:
    """Refuse a model that is not offered."""
    offered = service.settings.models
    if model not in offered:
        raise ModelNotAllowed(f"This model is not offered. Offered are: {', '.join(offered)}.")


def check_length(service: Service, field: str, chars: int) -> None:
    """Refuse a text that is longer than a prompt may be."""
    if 0 < service.settings.prompt_max_chars < chars:
        raise InvalidRequest.of(field, f"At most {service.settings.prompt_max_chars} characters.")


def check_image_count(service: Service, count: int, field: str = "image") -> None:
    """Refuse more images than are allowed."""
    if count > service.settings.image_max_count:
        raise InvalidRequest.of(field, f"At most {service.settings.image_max_count} images.")


def check_follow_up(service: Service, client: Client, response_id: str | None) -> None:
    """Refuse to follow up a response that is not kept, or not this client's."""
    if response_id is None:
        return
    if not service.settings.upstream_store:
        reason = "Answers are not kept here, so none can be followed up."
        raise InvalidRequest.of("previous_response_id", reason)
    service.guards.responses.check(response_id, client.name)
