"""The web page, the browser client, and the API page at `/docs`: files, each at its address."""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from app.settings import Settings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' https: http: data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Pictures that were found come from anywhere, everything else from this service."""
PAGE = {"Content-Security-Policy": POLICY}
MODULE = {"Access-Control-Allow-Origin": "*"}
"""A module is fetched with CORS, by any page; it holds no secret."""
TYPES = MODULE | {"Content-Type": "application/typescript; charset=utf-8"}
"""`.ts` is known as a video format."""

CLIENT = {"/client.js": MODULE, "/client.d.ts": TYPES}
PAGE_FILES = ("page.css", "page.js", "examples.js", "words.js", "icon.svg")
DOCS_FILES = ("docs.css", "docs.js")
SWAGGER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js")


def page_router(settings: Settings) -> APIRouter:
    """The files that the settings switch on; the client is always there."""
    router = APIRouter(include_in_schema=False)
    web = StaticFiles(directory=Path(__file__).parent.parent / "web")
    for path, headers in CLIENT.items():
        _add_file(router, path, web, path[1:], headers)
    if settings.web_page:
        _add_file(router, "/", web, "index.html", PAGE)
        for name in PAGE_FILES:
            _add_file(router, f"/web/{name}", web, name, {})
    if settings.docs:
        _add_file(router, "/docs", web, "docs.html", PAGE)
        # Swagger UI, as a Python package holds it.
        swagger = StaticFiles(packages=[("fastapi_offline", "static")])
        for name in (*DOCS_FILES, *SWAGGER_FILES):
            folder = web if name in DOCS_FILES else swagger
            _add_file(router, f"/docs/{name}", folder, name, {})
    return router


def _add_file(
    router: APIRouter, path: str, folder: StaticFiles, name: str, headers: dict[str, str]
) -> None:
    # Browsers keep the file, but ask for it again by its `ETag`: a new version is used at once.
    headers = {"Cache-Control": "no-cache"} | headers

    async def get_file(request: Request) -> Response:
        response = await folder.get_response(name, request.scope)
        response.headers.update(headers)
        return response

    router.add_api_route(path, get_file, methods=["GET", "HEAD"])
