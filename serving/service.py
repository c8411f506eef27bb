"""The Bento: BentoML starts workers, answers /healthz and /readyz, and mounts the application.

Each worker opens its own context when it starts. Then the collector is run once and what lives is frozen: otherwise
every full collection walks the imported modules and holds a request up for tens of milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from portraits.errors import HuaxiangError
from serving.app import v1
from serving.claims import keep_expiring
from serving.connections import bound_connections
from serving.console import routes as console_routes
from serving.context import Context
from serving.leaving import leaving
from serving.logs import configure
from serving.observed import Observed, of_request
from serving.ready import Readiness, keep_preparing
from serving.scraping import Scrape, keep_publishing, metrics_route
from serving.settings import QUIET, ProcessSettings, metrics_folder

REQUEST_TIMEOUT_S = 30
GC_THRESHOLDS = (50_000, 50, 50)

log = logging.getLogger(__name__)


@asynccontextmanager
async def _lifespan(application: Starlette) -> AsyncIterator[None]:
    try:
        folder = metrics_folder()
        context = Context.open(ProcessSettings.from_env())
    except HuaxiangError as error:
        log.error("cannot start: %s", error.message)
        raise
    except Exception:
        log.exception("cannot start")
        raise
    application.state.readiness = readiness = Readiness(context)
    scrape = Scrape(context.metrics, context.store, folder)
    ours = [v1(context), metrics_route(context, scrape), Route("/", _to_console), *console_routes(context)]
    application.router.routes.extend(ours)
    application.add_middleware(Observed, metrics=context.metrics, leaving=readiness.leaving)
    background = [asyncio.create_task(one(context)) for one in (keep_preparing, keep_publishing, keep_expiring)]
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        with leaving(readiness.leave):
            yield
    finally:
        for task in background:
            task.cancel()
        await asyncio.to_thread(context.close)
        context.metrics.publish(context.writer, context.models)


async def _to_console(_: Request) -> Response:
    return RedirectResponse("/console")


app = Starlette(lifespan=_lifespan)
bound_connections()  # here, because a worker has its server made as soon as this module is there


@bentoml.service(
    name="huaxiang",
    workers=ProcessSettings.from_env().workers,
    traffic={"timeout": REQUEST_TIMEOUT_S},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},  # ours are better: see serving.metrics
    envs=[{"name": name, "value": value} for name, value in QUIET.items()],
)
@bentoml.asgi_app(app, path="/")
class Huaxiang:
    """huaxiang's HTTP interface."""

    def __init__(self) -> None:
        configure(of_request)

    async def __is_ready__(self) -> bool:
        """Whether requests should come to this worker."""
        readiness: Readiness = app.state.readiness
        return await readiness.problem() is None
