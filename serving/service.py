"""The Bento: BentoML starts workers, answers /healthz, /readyz and /metrics, and mounts the application.

Each worker opens its own context when it starts. Then the collector is run once and what lives is frozen: otherwise
every full collection walks the imported modules and holds a request up for tens of milliseconds.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from portraits.errors import StoreUnavailable
from serving.app import v1
from serving.console import routes as console_routes
from serving.context import Context
from serving.settings import QUIET, ProcessSettings

REQUEST_TIMEOUT_S = 30
GC_THRESHOLDS = (50_000, 50, 50)


@asynccontextmanager
async def _lifespan(application: Starlette) -> AsyncIterator[None]:
    context = Context.open(ProcessSettings.from_env())
    application.state.context = context
    application.router.routes.extend([v1(context), Route("/", _to_console), *console_routes(context)])
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        context.close()


async def _to_console(_: Request) -> Response:
    return RedirectResponse("/console")


app = Starlette(lifespan=_lifespan)


@bentoml.service(
    name="huaxiang",
    workers=ProcessSettings.from_env().workers,
    traffic={"timeout": REQUEST_TIMEOUT_S},
    logging={"access": {"enabled": False}},
    envs=[{"name": name, "value": value} for name, value in QUIET.items()],
)
@bentoml.asgi_app(app, path="/")
class Huaxiang:
    """huaxiang's HTTP interface."""

    def __is_ready__(self) -> bool:
        """Ready means that a request could be answered from the store."""
        context: Context = app.state.context
        try:
            context.store.apps()
        except StoreUnavailable:
            return False
        return True
