"""How requests reach the endpoints."""

from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response


class RequestRoute(APIRoute):
    """Calls an endpoint with the request and the parts of its path, and nothing else.

    FastAPI documents it, Starlette calls it: FastAPI's own way solves dependencies, of which there
    are none, and holds two exit stacks as long as a stream lasts.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = request_response(self._answer)

    async def _answer(self, request: Request) -> Response:
        response: Response = await self.endpoint(request, **request.path_params)
        return response
