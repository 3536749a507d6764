"""Builds and wires the service: the one file that knows every part."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from app import telemetry
from app.api import ops, responses, search, tokens
from app.api.cors import Cors
from app.api.middleware import RequestLog
from app.api.openapi import describe
from app.api.problems import on_http_error, on_service_error
from app.api.service import Service
from app.errors import ServiceError
from app.guards import Guards, GuardSettings
from app.images.intake import ImageIntake, ImageLimits
from app.responses import Responses
from app.runs import RunLimits, Runs
from app.search import Searches
from app.settings import Settings, SettingsError, load
from app.upstream.client import Upstream
from app.upstream.transport import PooledTransport, address

logger = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """Build the ASGI application; its parts are made when it starts, on the loop that runs it.

    Raises:
        SettingsError: One of them could not be made.
    """
    guards = read_guards(settings)
    address(settings)
    metrics = telemetry.Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        async with running_service(settings, guards, metrics) as app.state.service:
            yield

    app = FastAPI(
        title="imagesearch-proxy",
        version=installed_version(),
        description="Search by image, streamed, with the upstream's key kept on the server.",
        lifespan=lifespan,
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
        # A redirection repeats the query, token and all, and behind a proxy leads to http.
        redirect_slashes=False,
    )
    app.openapi = lambda: describe(app, settings.models)  # type: ignore[method-assign] # as FastAPI documents it
    for part in (search, responses, tokens, ops):
        # Not `include_router`, which looks for a request's route twice.
        app.router.routes.extend(part.router.routes)
    app.add_exception_handler(ServiceError, on_service_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_middleware(
        RequestLog, metrics=metrics, cors=Cors(guards.origins, tokens=bool(guards.token_secrets))
    )
    return app


@asynccontextmanager
async def running_service(
    settings: Settings, guards: GuardSettings, metrics: telemetry.Metrics
) -> AsyncGenerator[Service, None]:
    """Open what needs an event loop, and close it again when everything has ended."""
    gate = Guards(guards, metrics=metrics)
    for note in gate.notes():
        logger.warning(note)
    intake = ImageIntake(image_limits(settings))
    await intake.start()
    runs = Runs(run_limits(settings))
    async with PooledTransport() as transport:
        upstream = Upstream(transport, settings, metrics)
        searches = Searches(
            guards=gate,
            upstream=upstream,
            runs=runs,
            metrics=metrics,
            store=settings.upstream_store,
            log_prompts=settings.log_prompts,
        )
        passed_on = Responses(guards=gate, upstream=upstream, runs=runs, metrics=metrics)
        try:
            yield Service(
                settings=settings,
                metrics=metrics,
                guards=gate,
                intake=intake,
                runs=runs,
                searches=searches,
                responses=passed_on,
            )
        finally:
            await intake.close()
            await runs.close()


def run_limits(settings: Settings) -> RunLimits:
    """Pick what concerns runs."""
    return RunLimits(
        progress_s=settings.stream_progress_s,
        linger_s=settings.stream_linger_s,
        retention_s=settings.search_retention_s,
        cache_ttl_s=settings.cache_ttl_s,
        max_bytes=settings.search_max_bytes,
        store_max_bytes=settings.search_store_max_bytes,
    )


def image_limits(settings: Settings) -> ImageLimits:
    """Pick what concerns images."""
    return ImageLimits(
        max_bytes=settings.image_max_bytes,
        max_pixels=settings.image_max_pixels,
        max_side=settings.image_max_side,
        workers=settings.image_workers,
        worker_memory_bytes=settings.image_worker_memory_bytes,
        timeout_s=settings.image_timeout_s,
        inflight_max_bytes=settings.image_inflight_max_bytes,
    )


def read_guards(settings: Settings) -> GuardSettings:
    """Parse what concerns the guards.

    Raises:
        SettingsError: One of the texts is not what it should be.
    """
    try:
        return GuardSettings.read(
            client_keys=settings.client_keys.get_secret_value(),
            client_token_secret=settings.client_token_secret.get_secret_value(),
            client_token_ttl_s=settings.client_token_ttl_s,
            allow_anonymous=settings.allow_anonymous,
            cors_origins=settings.cors_origins,
            response_owner_ttl_s=settings.response_owner_ttl_s,
            rate_limit=settings.rate_limit,
            capacity=settings.capacity,
            capacity_wait_s=settings.capacity_wait_s,
            budget_client_cny_per_day=settings.budget_client_cny_per_day,
            budget_total_cny_per_day=settings.budget_total_cny_per_day,
            prices=settings.prices,
            region=settings.dashscope_region,
            tools_allowed=settings.tools_allowed,
        )
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc


def installed_version() -> str:
    """Return the version as installed, or a mark that it runs from a checkout."""
    try:
        return version("imagesearch-proxy")
    except PackageNotFoundError:
        return "0.0.0+checkout"


def __getattr__(name: str) -> Any:
    """Build `app.main:app` for ASGI servers when they ask for it, and not on every import."""
    if name == "app":
        telemetry.keep_queries_out()
        return create_app(load())
    raise AttributeError(name)
