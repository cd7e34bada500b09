"""The web server of the screen: what is served under which path, and with which headers.

Reads `static/`; starts the feed and what is beside it; writes nothing. Read-only: there is no path that takes anything
but GET and HEAD.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flink_jobs import regions
from flink_jobs.settings import Settings
from serving import api
from serving.beside import Beside
from serving.feed import Feed
from serving.pages import Full

STATIC = Path(__file__).with_name("static")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{}; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _Headers:
    """Puts the headers of security on every answer, also on errors and streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Swagger UI writes styles into its elements; the screen itself does not.
        inline_styles = scope["type"] == "http" and scope["path"] == "/docs"

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY.format(" 'unsafe-inline'" if inline_styles else "")
                headers["X-Content-Type-Options"] = "nosniff"
                headers["X-Frame-Options"] = "DENY"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                # A browser asks each time, by ETag: a new release must not meet half of the old one.
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, with_headers)


def create_app(settings: Settings, listen: str = "127.0.0.1") -> FastAPI:
    """The application. `listen`: on the loopback only this machine's own names are answered to.

    Raises `UserError` if the regions file is bad.
    """
    names = regions.load(settings.regions_file())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        feed = Feed(settings, names)
        app.state.feed = feed
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(feed.run()), tasks.create_task(Beside(settings, feed).run())]
            yield
            for task in running:
                task.cancel()

    app = FastAPI(
        title="Samewater",
        summary="Figures of the shop: minutes, regions, reports, verdicts, versions. Read-only.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.settings, app.state.names = settings, names
    if listen in LOOPBACK:
        # Else a page of the internet whose name was made to point here could read the figures.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))
    app.add_middleware(_Headers)
    app.include_router(api.router)
    _pages(app)
    _errors(app)
    return app


def _pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def screen() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html")

    @app.get("/alive", include_in_schema=False)
    def alive() -> dict[str, bool]:
        return {"alive": True}

    @app.get("/stream", include_in_schema=False)
    async def stream(
        request: Request,
        last_event_id: Annotated[str, Header()] = "",
        after: Annotated[str, Query(description="As the header, for a page that opens a new stream.")] = "",
    ) -> StreamingResponse:
        """The events of the screen: `snapshot`, `changes`, `redis`, `run`, `health`, `report`, `beat`."""
        feed: Feed = request.app.state.feed
        events = feed.pages.stream(last_event_id or after)
        try:
            first = await anext(events)
        except Full:
            most = request.app.state.settings.serving.pages
            raise api.Refused(
                503, f"{most} pages are open already, as [serving] pages allows; close one or raise it"
            ) from None

        async def whole() -> AsyncIterator[str]:
            try:
                yield first
                async for event in events:
                    yield event
            finally:
                await events.aclose()  # type: ignore[attr-defined]

        # X-Accel-Buffering: a proxy in front must not gather events.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(whole(), media_type="text/event-stream", headers=headers)

    app.mount("/static", StaticFiles(directory=STATIC), name="static")


def _errors(app: FastAPI) -> None:
    def sentence(status: int, text: str) -> JSONResponse:
        return JSONResponse({"error": text}, status, headers={"Cache-Control": "no-store"})

    @app.exception_handler(api.Refused)
    async def refused(_: Request, error: api.Refused) -> JSONResponse:
        return sentence(error.status, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return sentence(400, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        known = {404: "there is nothing under this path; see /docs", 405: "this server is read-only"}
        return sentence(error.status_code, known.get(error.status_code, str(error.detail)))
