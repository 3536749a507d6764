"""Which connections are closed behind a response, and how a body that nobody wants is handled."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware import has_body

LINGER_S = 2
"""How long what still arrives of a body is read and dropped, so that the client gets its response:
closing a socket with unread bytes resets the connection."""

EVENT_STREAM = "text/event-stream"


class CloseAfterAnswer:
    """Says `Connection: close` in every response but event streams and those to trusted proxies.

    uvicorn reads pipelined requests without bound while it answers; on a connection that is closed
    behind the first response it drops them. A body that was not read closes a proxy's connection too.
    """

    def __init__(self, app: ASGIApp, trusted_proxies: Sequence[str], linger_bytes: int) -> None:
        self.app = app
        self.linger_bytes = linger_bytes or float("inf")
        self._trusted = [ip_network(network) for network in trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        unread = has_body(Headers(scope=scope))
        trusted = self._is_trusted(scope)

        async def receive_and_note() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                streamed = headers.get("content-type", "").startswith(EVENT_STREAM)
                if not streamed and (unread or not trusted):
                    headers["Connection"] = "close"
            elif unread and not message.get("more_body"):
                await send({**message, "more_body": True})
                await self._drop_body(receive_and_note)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self.app(scope, receive_and_note, send_and_close)

    def _is_trusted(self, scope: Scope) -> bool:
        try:
            peer = ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return False
        return any(peer in network for network in self._trusted)

    async def _drop_body(self, receive: Receive) -> None:
        left = self.linger_bytes
        try:
            async with asyncio.timeout(LINGER_S):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body"):
                        return
        except TimeoutError:
            return
