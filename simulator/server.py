"""All routes of the simulator, as one Starlette application."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from simulator import gallery
from simulator.knobs import Knobs
from simulator.pictures import PICTURES
from simulator.responses import Responses
from simulator.retrieval import Retrieval, not_routed
from simulator.state import State

if TYPE_CHECKING:
    from starlette.requests import Request

# The vendor's own path, and the short one that OpenAI's clients are used to.
PREFIXES: Final = ("/compatible-mode/v1", "/v1")


def create_app(knobs: Knobs | None = None) -> Starlette:
    """A simulator. `app.state` has `record`, `gate`, `knobs` and `hang_up` for tests."""
    state = State(knobs or Knobs())
    routes: list[BaseRoute] = []
    for prefix in PREFIXES:
        routes += _api(prefix, state)
    app = Starlette(
        routes=[*routes, *_gallery(), *_controls(state)],
        exception_handlers={404: _not_routed, 405: _not_routed},
    )
    app.state.knobs = state.knobs
    app.state.record = state.record
    app.state.gate = state.gate
    app.state.hang_up = state.hang_up
    return app


def _api(prefix: str, state: State) -> list[BaseRoute]:
    retrieval = Retrieval(state)
    one = f"{prefix}/responses/{{id}}"
    return [
        Route(f"{prefix}/responses", Responses(state), methods=["POST"]),
        Route(one, retrieval.get, methods=["GET"]),
        Route(one, retrieval.delete, methods=["DELETE"]),
        Route(f"{one}/input_items", retrieval.input_items, methods=["GET"]),
        Route(f"{prefix}/models", retrieval.models, methods=["GET"]),
    ]


def _gallery() -> list[BaseRoute]:
    return [
        Route("/gallery/", _gallery_page, methods=["GET"]),
        Route("/gallery/{name}.jpg", _gallery_picture, methods=["GET"]),
    ]


def _controls(state: State) -> list[BaseRoute]:
    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def show_record(request: Request) -> Response:
        last = request.query_params.get("last", "0")
        if not last.isdecimal():
            return JSONResponse({"message": "'last' must be a whole number"}, 400)
        return JSONResponse(state.record.summary(int(last)))

    async def reset_record(_: Request) -> Response:
        state.record.reset()
        state.tries.clear()
        return Response(status_code=204)

    async def open_gate(request: Request) -> Response:
        await state.gate.open(request.path_params["tag"])
        return Response(status_code=204)

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/record", show_record, methods=["GET"]),
        Route("/record", reset_record, methods=["DELETE"]),
        Route("/gate/{tag}", open_gate, methods=["POST"]),
    ]


async def _gallery_picture(request: Request) -> Response:
    picture = gallery.find(request.path_params["name"])
    if picture is None:
        raise HTTPException(404)
    return Response(
        gallery.jpeg(picture.name),
        media_type="image/jpeg",
        headers={"cache-control": "public, max-age=3600", "access-control-allow-origin": "*"},
    )


async def _gallery_page(_: Request) -> Response:
    shown = "".join(
        f'<figure><img src="{picture.name}.jpg" width="320" height="240" alt="">'
        f"<figcaption>{escape(picture.title)}</figcaption></figure>"
        for picture in PICTURES
    )
    style = "body{font-family:sans-serif;display:flex;flex-wrap:wrap}figure{margin:1em}"
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>The simulated gallery</title>'
        f"<style>{style}</style><body>{shown}</body></html>"
    )


async def _not_routed(request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 404
    return not_routed(status, request.method, request.url.path)
