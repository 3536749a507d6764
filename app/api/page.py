"""The web page, the browser client, and the API page at `/docs`: files, with their own policies."""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from app.settings import Settings

WEB = Path(__file__).parent.parent / "web"
PAGE_FILES = frozenset({"page.css", "page.js", "examples.js", "words.js", "icon.svg"})
DOCS_FILES = frozenset({"docs.css", "docs.js"})
SWAGGER_FILES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js"})

REVALIDATED = {"Cache-Control": "no-cache"}
"""Kept by browsers, but asked for again by its `ETag`: a new version is used at once."""

IMPORTABLE = REVALIDATED | {"Access-Control-Allow-Origin": "*"}
"""A module is fetched with CORS, by any page; it holds no secret."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' https: http: data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Pictures that were found come from anywhere, everything else from this service."""

DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

client_router = APIRouter(include_in_schema=False)
page_router = APIRouter(include_in_schema=False)

web = StaticFiles(directory=WEB)


def page_routers(settings: Settings) -> list[APIRouter]:
    """What the settings switch on; the client is always there."""
    routers = [client_router]
    if settings.web_page:
        routers.append(page_router)
    if settings.docs:
        routers.append(docs_router())
    return routers


@client_router.api_route("/client.js", methods=["GET", "HEAD"])
async def get_client(request: Request) -> Response:
    """The browser client, an ES module."""
    return await _file(web, "client.js", request, IMPORTABLE)


@client_router.api_route("/client.d.ts", methods=["GET", "HEAD"])
async def get_client_types(request: Request) -> Response:
    """Its types; the content type is TypeScript's, since `.ts` is known as a video format."""
    types = IMPORTABLE | {"Content-Type": "application/typescript; charset=utf-8"}
    return await _file(web, "client.d.ts", request, types)


@page_router.api_route("/", methods=["GET", "HEAD"])
async def get_page(request: Request) -> Response:
    """The web page."""
    headers = REVALIDATED | {"Content-Security-Policy": PAGE_POLICY}
    return await _file(web, "index.html", request, headers)


@page_router.api_route("/web/{name}", methods=["GET", "HEAD"])
async def get_page_file(request: Request, name: str) -> Response:
    """A file of the web page."""
    return await _file(web, _known(name, PAGE_FILES), request, REVALIDATED)


def docs_router() -> APIRouter:
    """The API page: Swagger UI, from the files that a Python package holds."""
    router = APIRouter(include_in_schema=False)
    swagger = StaticFiles(packages=[("fastapi_offline", "static")])

    @router.get("/docs")
    async def get_docs(request: Request) -> Response:
        headers = REVALIDATED | {"Content-Security-Policy": DOCS_POLICY}
        return await _file(web, "docs.html", request, headers)

    @router.get("/docs/{name}")
    async def get_docs_file(request: Request, name: str) -> Response:
        if name in DOCS_FILES:
            return await _file(web, name, request, REVALIDATED)
        return await _file(swagger, _known(name, SWAGGER_FILES), request, REVALIDATED)

    return router


def _known(name: str, names: frozenset[str]) -> str:
    if name not in names:
        raise HTTPException(404)
    return name


async def _file(
    files: StaticFiles, name: str, request: Request, headers: dict[str, str]
) -> Response:
    """A file, or a 304 if the browser has it already."""
    response = await files.get_response(name, request.scope)
    response.headers.update(headers)
    return response
