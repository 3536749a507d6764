"""What a broken connection to the upstream means: above all, whether it can have been billed."""

import httpx

from app.errors import (
    ServiceError,
    UpstreamInterrupted,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.upstream.patience import timed_out
from app.upstream.retry import ConnectFailed, ConnectTimeout


def unanswered(exc: Exception) -> ServiceError:
    """The error of a request without a response."""
    match exc:
        case httpx.ConnectTimeout():
            return timed_out(ConnectTimeout, "connect")
        case httpx.ConnectError():
            return ConnectFailed("No connection to the upstream could be made.")
        case httpx.RemoteProtocolError():
            return UpstreamProtocol("The upstream's answer is not HTTP.")
        case _:
            return UpstreamUnavailable(
                "The connection broke before the upstream answered.", may_be_billed=True
            )


def unread(exc: Exception) -> ServiceError:
    """The error of a response whose body broke off, or did not come in time."""
    if isinstance(exc, UpstreamTimeout):
        return exc
    return UpstreamInterrupted("The upstream's answer broke off.")
