"""What a broken connection to the upstream means: above all, whether it can have been billed."""

import aiohttp

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
    """The error of a request without a response.

    httpx's own classes do not tell: its aiohttp transport names a connection that broke after
    the request was written `ConnectTimeout`, too. aiohttp's error stands behind as the cause.
    """
    match exc if isinstance(exc, aiohttp.ClientError) else exc.__cause__:
        case aiohttp.ConnectionTimeoutError():
            return timed_out(ConnectTimeout, "connect")
        case aiohttp.ClientConnectorError():
            return ConnectFailed("No connection to the upstream could be made.")
        case aiohttp.ClientResponseError():
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
