"""Builds and wires the service: the one file that knows every part.

`app` is the application for any ASGI server, built from the environment. Where settings are
missing it can still be imported; it then refuses to start, and says which.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from opentelemetry.trace import TracerProvider
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app import check
from app.api import ops, responses, search, ui
from app.api.middleware import CloseAfterAnswer, RequestContext
from app.api.openapi import HEADERS, add_models
from app.api.page import page_router
from app.api.problems import on_error
from app.api.responses_body import ResponsesBody
from app.errors import ServiceError
from app.guards.guards import Guards
from app.images.intake import ImageIntake
from app.runs.replicated import ReplicatedRuns
from app.runs.runs import Runs
from app.search import conclude_lost
from app.service import Service
from app.settings import Settings, SettingsError, load
from app.store.redis_client import RedisClient
from app.telemetry import Metrics
from app.tracing import Tracing
from app.upstream.client import UpstreamClient

logger = logging.getLogger(__name__)


def create_app(settings: Settings, *, tracer_provider: TracerProvider | None = None) -> FastAPI:
    """Build the application; what needs an event loop is made when it starts.

    Spans go to `tracer_provider` or, without one, where `OTEL_*` variables say.
    """
    metrics, tracing = Metrics(installed_version()), Tracing(tracer_provider)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logger.info(check.start_line(settings, app.version))
        for warning in check.warnings(settings):
            logger.warning(warning)
        async with AsyncExitStack() as stack:
            tracing.export(stack, app.version)
            app.state.service = await start_service(stack, settings, metrics, tracing)
            app.openapi()  # Takes a moment, in which no request is to wait.
            yield

    app = FastAPI(
        title="imagesearch-proxy",
        version=installed_version(),
        description="Search by image, streamed, with the upstream's key kept on the server.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page loads scripts from another host; `page` has ours.
        redoc_url=None,
        # A redirection would repeat the query with its token, and behind a proxy lead to http.
        redirect_slashes=False,
        # FastAPI's own spans would hold the query, and so token and prompt; its logs, exceptions.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        # What generated clients call a function: `createSearch` for `create_search`.
        generate_unique_id_function=lambda route: to_camel(route.name),
        middleware=[  # The first sees a request first.
            # Outside of what replaces the peer's address by the forwarded one.
            Middleware(CloseAfterAnswer, trusted_proxies=settings.trusted_proxies),
            Middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies)),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                # A token names the origin that it is for, and no preflight shows one.
                allow_origin_regex=".*" if settings.token_secrets else None,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
                expose_headers=(*HEADERS, "X-Should-Retry", "Cache-Control", "X-Accel-Buffering"),
            ),
            Middleware(RequestContext, settings, metrics, tracing),
        ],
    )
    for router in (search.router, responses.router, ui.router, ops.router, page_router(settings)):
        app.include_router(router)
    for error in (ServiceError, RequestValidationError, HTTPException):
        app.add_exception_handler(error, on_error)
    add_models(app, settings, ResponsesBody, ui.ChatRequest)
    return app


async def start_service(
    stack: AsyncExitStack, settings: Settings, metrics: Metrics, tracing: Tracing
) -> Service:
    """Open what needs an event loop; the stack closes it when all searches have ended."""
    redis = RedisClient(url) if (url := settings.redis_url.get_secret_value()) else None
    guards = Guards(settings, redis)
    upstream = UpstreamClient(settings, metrics)
    ending = partial(conclude_lost, guards.prices)
    runs = ReplicatedRuns(settings, redis, ending) if redis else Runs(settings)
    intake = ImageIntake(settings, metrics)

    def refresh() -> None:
        metrics.runs_active.set(len(runs.running))
        metrics.store_bytes.set(runs.size_bytes)
        if redis:
            metrics.redis_up.set(redis.up)

    metrics.refresh = refresh
    stack.push_async_callback(upstream.aclose)
    if isinstance(runs, ReplicatedRuns):
        metrics.registry.register(metrics.redis_up)
        await runs.start(stack)
    stack.push_async_callback(runs.drain)
    stack.push_async_callback(intake.close)
    await intake.start()
    stack.callback(asyncio.create_task(metrics.keep_fresh()).cancel)
    return Service(settings, metrics, tracing, upstream, guards, intake, runs)


def installed_version() -> str:
    """The version as installed, or a mark that it runs from a checkout."""
    try:
        return version("imagesearch-proxy")
    except PackageNotFoundError:
        return "0.0.0+checkout"


def app_from_environment() -> FastAPI:
    """The application, or one that does not start, and says which settings are wrong."""
    try:
        return create_app(load())
    except SettingsError as exc:
        error = exc

    def refuse(_: FastAPI) -> NoReturn:
        raise error

    return FastAPI(lifespan=refuse, openapi_url=None)


app = app_from_environment()
