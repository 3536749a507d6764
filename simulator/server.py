"""All routes of the simulator, as one Starlette application."""

from html import escape
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from simulator import gallery, stored
from simulator.pictures import PICTURES
from simulator.plan import Knobs
from simulator.refusals import Refusal
from simulator.responses import Responses
from simulator.stored import State

# The vendor's own path, and the short one of OpenAI's clients.
PREFIXES: Final = ("/compatible-mode/v1", "/v1")


def create_app(knobs: Knobs | None = None) -> Starlette:
    """A simulator. `app.state` has `record`, `gate`, `knobs` and `hang_up` for tests."""
    state = State(knobs or Knobs())
    routes = [route for prefix in PREFIXES for route in _api(prefix, state)]
    handlers = {404: _not_routed, 405: _not_routed}
    app = Starlette(routes=[*routes, *_controls(state)], exception_handlers=handlers)
    app.state.knobs, app.state.record = state.knobs, state.record
    app.state.gate, app.state.hang_up = state.gate, state.hang_up
    return app


def _api(prefix: str, state: State) -> list[Route]:
    one = f"{prefix}/responses/{{id}}"
    return [
        Route(f"{prefix}/responses", Responses(state), methods=["POST"]),
        Route(one, stored.endpoint(state, stored.get_response)),
        Route(one, stored.endpoint(state, stored.delete_response), methods=["DELETE"]),
        Route(f"{one}/input_items", stored.endpoint(state, stored.get_input_items)),
        Route(f"{prefix}/models", stored.endpoint(state, stored.get_models)),
    ]


def _controls(state: State) -> list[Route]:
    async def show_record(request: Request) -> Response:
        last = request.query_params.get("last", "0")
        return JSONResponse(state.record.summary(int(last) if last.isdecimal() else 0))

    async def open_gate(request: Request) -> Response:
        await state.gate.open(request.path_params["tag"])
        return Response(status_code=204)

    return [
        Route("/healthz", PlainTextResponse("ok")),
        Route("/record", show_record),
        Route("/gate/{tag}", open_gate, methods=["POST"]),
        Route("/gallery/", _gallery_page),
        Route("/gallery/{name}.jpg", _gallery_picture),
    ]


async def _gallery_picture(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in gallery.NAMES:
        raise HTTPException(404)
    headers = {"cache-control": "public, max-age=3600", "access-control-allow-origin": "*"}
    return Response(gallery.jpeg(name), media_type="image/jpeg", headers=headers)


async def _gallery_page(_: Request) -> Response:
    figures = [f'<p><img src="{each.name}.jpg" alt=""> {escape(each.title)}' for each in PICTURES]
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>The gallery</title>'
    return HTMLResponse(head + "\n".join(figures))


async def _not_routed(request: Request, exc: Exception) -> Response:
    """A path or method that does not exist, as recorded from the vendor."""
    if isinstance(exc, HTTPException) and exc.status_code == 405:  # noqa: PLR2004 - HTTP's number
        message = f"Method '{request.method}' is not allowed for '{request.url.path}'."
        return stored.error_reply(Refusal("route", 405, "Method Not Allowed", message))
    return stored.error_reply(Refusal("route", 404, "Not Found", "Not support"))
