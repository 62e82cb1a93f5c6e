"""The server put together: doors, middleware, health, metrics, start and stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from superres import __version__
from superres.app import App
from superres.errors import PermissionDenied, SuperresError, Unauthenticated
from superres.server import v1, web
from superres.server.assets import mount_assets
from superres.server.dialects import ai_solution_kit, cloud_infinite, fsrtwo, picwish
from superres.server.identity import bearer, is_local
from superres.server.metrics import Metrics
from superres.server.observe import Observe
from superres.server.tellers import tellers
from superres.server.work import in_thread

_FETCHES = 32
_ACCESS: dict[type[SuperresError], int] = {Unauthenticated: 401, PermissionDenied: 403}


def create_app(app: App) -> FastAPI:
    """The ASGI application over ``app``, which it closes when it shuts down."""
    metrics = Metrics(app.executor, app.jobs)
    app.runner.tell_with(tellers(app))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await in_thread(app.runner.start)
        try:
            yield
        finally:
            # Requests have been answered by now; pictures of jobs get as long again.
            await in_thread(app.close, app.settings.server.shutdown_timeout)

    server = FastAPI(
        title="superres",
        version=__version__,
        summary="Enlarge pictures honestly.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    server.state.app = app
    server.state.metrics = metrics
    # Threads of their own, so that slow sites hold up fetches and nothing else.
    server.state.fetchers = CapacityLimiter(_FETCHES)
    server.add_middleware(Observe, settings=app.settings.server, metrics=metrics)
    server.add_exception_handler(HTTPException, _not_here)

    @server.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        """Whether the process answers at all."""
        return {"status": "ok"}

    @server.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        """Whether it takes work: a worker is ready."""
        ready = app.executor.state().ready
        return JSONResponse(
            {"status": "ready" if ready else "no worker is ready yet"}, 200 if ready else 503
        )

    @server.get("/metrics", include_in_schema=False)
    async def read_metrics(request: Request) -> Response:
        try:
            if not is_local(request):
                caller = await in_thread(app.access.by_token, bearer(request))
                await in_thread(app.access.authorise, caller, "superres:ReadMetrics", "metrics")
        except SuperresError as exc:
            return _problem(_ACCESS.get(type(exc), 503), exc.code, exc.public_message)
        return await in_thread(metrics.response)  # asks the database

    mount_assets(server)
    server.include_router(web.router(app))
    server.include_router(v1.router(app))
    server.include_router(fsrtwo.router(app))
    server.include_router(picwish.router(app))
    server.include_router(ai_solution_kit.router(app))
    # On a bucket's host every path is a key, /healthz too.
    server.router.routes.insert(0, cloud_infinite.BucketRoute(app))
    return server


def _problem(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)


async def _not_here(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    response = _problem(
        exc.status_code,
        "not_found" if exc.status_code == 404 else "not_allowed",
        "There is nothing here. The page is at /, the reference of the API at /docs."
        if exc.status_code == 404
        else str(exc.detail),
    )
    response.headers.update(exc.headers or {})
    return response
