"""The status endpoint: counters and states for a person, a supervisor and Prometheus. No pixels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from edge.status.schema import Status

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(status: Callable[[], Status], metrics: Callable[[], bytes], *, check_host: bool) -> FastAPI:
    """Make the application.

    ``status`` and ``metrics`` are called for every request. With ``check_host`` only requests that
    name a loopback host are answered, so that a web page elsewhere cannot read the endpoint by
    pointing its own name here (DNS rebinding); on a unix socket the name means nothing.
    """
    app = FastAPI(title="edge anonymizer", docs_url=None, redoc_url=None, openapi_url=None)
    page = (resources.files("edge.status") / "page.html").read_text(encoding="utf-8")

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        if check_host and _host(request.headers.get("host", "")) not in LOCAL_HOSTS:
            return PlainTextResponse("this name is not served here\n", status_code=421)
        response = await call(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/healthz")
    def healthz() -> JSONResponse:
        """200 while the pipeline ticks."""
        healthy = status().healthy
        return JSONResponse({"healthy": healthy}, status_code=200 if healthy else 503)

    @app.get("/readyz")
    def readyz() -> JSONResponse:
        """200 while frames of at least one camera can be looked at and stored."""
        problems = status().problems
        return JSONResponse(
            {"ready": not problems, "problems": problems}, status_code=503 if problems else 200
        )

    @app.get("/status")
    def show() -> Status:
        """Everything, as JSON."""
        return status()

    @app.get("/metrics")
    def prometheus() -> Response:
        """The Prometheus text format."""
        return Response(metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/")
    def index() -> HTMLResponse:
        """The page for a person."""
        return HTMLResponse(page)

    return app


def _host(header: str) -> str:
    """The Host header without its port.

    >>> _host("[::1]:8377"), _host("localhost:8377"), _host("evil.example")
    ('[::1]', 'localhost', 'evil.example')
    """
    end = header.find("]") + 1 if header.startswith("[") else header.find(":")
    return (header[:end] if end > 0 else header).lower()
