"""A page for a browser, which tells the test what it saw."""

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route


class Page:
    """The page, and what it sends to `/told` when it is done."""

    def __init__(self) -> None:
        self.html = ""
        self.told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.app = Starlette(
            routes=[
                Route("/", self._show),
                Route("/told", self._listen, methods=["POST"]),
            ]
        )

    async def _show(self, _: Request) -> Response:
        return HTMLResponse(self.html)

    async def _listen(self, request: Request) -> Response:
        self.told.set_result(await request.json())
        return Response(status_code=204)
