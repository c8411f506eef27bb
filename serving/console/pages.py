"""The console's routes: enter, visitors, one visitor, nights, leave. Every page is of the session's own app."""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from portraits.errors import HuaxiangError, NotAllowed, NotKnown, StoreUnavailable
from serving.console import people, views
from serving.console.links import use_link
from serving.console.session import COOKIE, SESSION_HOURS, Session, seal, unseal
from serving.context import Context
from serving.tenants import Grant

SCOPES = ("marketing", "admin")
FORM_LIMIT_BYTES = 4_096
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' https:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

log = logging.getLogger(__name__)

Page = Callable[[Request, Session], Awaitable[Response]]


def routes(context: Context) -> list[BaseRoute]:
    """Everything under `/console`, for the ASGI app to mount at the root."""
    console = Console(context)
    return [
        Route("/console", console.guard(console.visitors)),
        Route("/console/visitor", console.guard(console.visitor)),
        Route("/console/nights", console.guard(console.nights)),
        Route("/console/enter", console.enter, methods=["GET", "POST"]),
        Route("/console/leave", console.leave, methods=["POST"]),
        Mount("/console/static", StaticFiles(packages=[("serving.console", "static")])),
    ]


class Console:
    """The pages over one process's context."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("serving.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        style = files("serving.console").joinpath("static", "console.css").read_bytes()
        self._templates.globals["css"] = f"{zlib.crc32(style):08x}"  # another style is another address: no stale copy

    def guard(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """The page for who is in; the way in for who is not; an error of ours as a page."""

        async def guarded(request: Request) -> Response:
            session = await asyncio.to_thread(self._session, request)
            if session is None:
                return RedirectResponse("/console/enter", 303, HEADERS)
            try:
                return await page(request, session)
            except StoreUnavailable as error:
                log.warning("%s", error.message)
                message, status = StoreUnavailable.OUTWARD, error.status
            except HuaxiangError as error:
                message, status = error.message, error.status
            return self._render("error.html", status, session, title="Not now", message=message)

        return guarded

    async def enter(self, request: Request) -> Response:
        """By a one-time link (GET with a token) or by a key (POST of the form)."""
        if not self._context.settings.secret:
            return self._form("The console is closed: the server has no HUAXIANG_SECRET to sign sessions with.", 503)
        if request.method == "POST":
            return await self._enter_by_key(request)
        token = request.query_params.get("token")
        return self._form("") if token is None else await self._enter_by_link(request, token)

    async def _enter_by_link(self, request: Request, token: str) -> Response:
        app_id = await asyncio.to_thread(use_link, self._context.settings.home, token)
        if app_id is None:
            return self._form("This link was used or is too old. Ask for a new one, or enter by a key.", 403)
        return self._let_in(request, app_id, "")

    async def _enter_by_key(self, request: Request) -> Response:
        stated = request.headers.get("content-length", "")
        if not stated.isdigit() or int(stated) > FORM_LIMIT_BYTES:
            return self._form("This is no key.", 413)
        form = parse_qs((await request.body()).decode("latin-1"))
        try:
            grant = await self._grant(form.get("key", [""])[0].strip())
        except (NotKnown, NotAllowed):
            return self._form("No such key of an app with the scope marketing.", 403)
        except StoreUnavailable as error:
            log.warning("%s", error.message)
            return self._form("Not now: the store cannot be read. Try again.", 503)
        return self._let_in(request, grant.app_id, grant.key_id)

    async def _grant(self, key: str) -> Grant:
        """What a key opens, looked up as those of requests are: a stream of wrong ones costs no more here.

        Raises NotKnown, NotAllowed (of another scope; a provider's, since a page is of one app), StoreUnavailable.
        """
        context = self._context
        grant = await context.tenants.remembered(f"Bearer {key}")
        grant = await context.tenants.confirm(grant, await context.reads.quick(context.store.revision, grant.app_id))
        keys = await asyncio.to_thread(context.store.keys, grant.app_id)
        if grant.user_id or grant.scope not in SCOPES or all(own.key_id != grant.key_id for own in keys):
            raise NotAllowed("a key of an app with the scope marketing")
        return grant

    async def leave(self, _: Request) -> Response:
        """Forgets the session."""
        response = RedirectResponse("/console/enter", 303, HEADERS)
        response.delete_cookie(COOKIE, path="/console")
        return response

    async def visitors(self, _: Request, session: Session) -> Response:
        """Where to begin: figures, a search by id, a few examples."""
        overview = await asyncio.to_thread(people.overview, self._context, session.app_id)
        return self._render("visitors.html", 200, session, page="visitors", **overview)

    async def visitor(self, request: Request, session: Session) -> Response:
        """One visitor: portrait, what would be shown, what happened since the last night."""
        user_id = request.query_params.get("id", "").strip()
        if not user_id:
            return RedirectResponse("/console", 303, HEADERS)
        shown = await people.visitor(self._context, session.app_id, user_id, datetime.now(UTC))
        return self._render("visitor.html", 200, session, page="visitors", **shown)

    async def nights(self, _: Request, session: Session) -> Response:
        """The last nights, newest first."""
        store = self._context.store
        settings = await asyncio.to_thread(store.app, session.app_id)
        runs = await asyncio.to_thread(store.runs, session.app_id)
        zone = ZoneInfo(settings.time_zone)
        return self._render("nights.html", 200, session, page="nights", nights=[views.night(run, zone) for run in runs])

    def _session(self, request: Request) -> Session | None:
        secret = self._context.settings.secret
        session = unseal(request.cookies.get(COOKIE, ""), secret, time.time()) if secret else None
        if session is None or not session.key_id:
            return session
        keys = self._context.store.keys(session.app_id)
        return session if any(key.key_id == session.key_id and not key.revoked for key in keys) else None

    def _let_in(self, request: Request, app_id: str, key_id: str) -> Response:
        seconds = SESSION_HOURS * 3600
        cookie = seal(Session(app_id, int(time.time()) + seconds, key_id), self._context.settings.secret)
        response = RedirectResponse("/console", 303, HEADERS)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, cookie, seconds, path="/console", httponly=True, samesite="strict", secure=secure)
        return response

    def _form(self, problem: str, status: int = 200) -> Response:
        return self._render("enter.html", status, None, problem=problem, hours=SESSION_HOURS)

    def _render(self, template: str, status: int, session: Session | None, **values: Any) -> Response:
        html = self._templates.get_template(template).render(session=session, **({"page": ""} | values))
        return HTMLResponse(html, status, HEADERS)
