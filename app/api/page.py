"""The web page, the browser client, and the API page at `/docs`: files, each at its address."""

from functools import partial
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from app.settings import Settings

HTML = {  # Pictures that were found come from anywhere, everything else from this service.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' https: http: data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
MODULE = {"Access-Control-Allow-Origin": "*"}  # Fetched with CORS by any page; has no secret.
# `.ts` is known as a video format.
TYPES = MODULE | {"Content-Type": "application/typescript; charset=utf-8"}

# By address: the file, and its headers.
CLIENT = {"/client.js": ("client.js", MODULE), "/client.d.ts": ("client.d.ts", TYPES)}
PAGE_FILES = ("page.css", "page.js", "examples.js", "words.js", "icon.svg")
PAGE = {"/": ("index.html", HTML)} | {f"/web/{name}": (name, {}) for name in PAGE_FILES}
DOCS_FILES = ("docs.css", "docs.js", "swagger-ui.css", "swagger-ui-bundle.js")
DOCS = {"/docs": ("docs.html", HTML)} | {f"/docs/{name}": (name, {}) for name in DOCS_FILES}

FILES = StaticFiles(  # Swagger UI comes in a Python package.
    directory=Path(__file__).parent.parent / "web", packages=[("fastapi_offline", "static")]
)


def page_router(settings: Settings) -> APIRouter:
    """The files that the settings switch on; the client is always there."""
    router = APIRouter(include_in_schema=False)
    served = CLIENT | (PAGE if settings.web_page else {}) | (DOCS if settings.docs else {})
    for path, (name, headers) in served.items():
        router.add_api_route(path, partial(get_file, name, headers), methods=["GET", "HEAD"])
    return router


async def get_file(name: str, headers: dict[str, str], request: Request) -> Response:
    """One of the files. Browsers keep it, but ask again by its `ETag`, and have a new one soon."""
    response = await FILES.get_response(name, request.scope)
    response.headers.update({"Cache-Control": "no-cache"} | headers)
    return response
