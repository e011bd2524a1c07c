"""The status endpoint: counters and states for a person, a supervisor and Prometheus.

It serves no pixels except, where ``status.preview`` is set, the last anonymized image of each camera, read
back from its file in the store.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Response, Security
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel

import edge
from edge.config import StatusConfig
from edge.status.gauges import gauges_text
from edge.status.guard import Guard, Hosts, read_token
from edge.status.schema import Status
from edge.store.read_back import MEDIA_TYPES, read_image

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health(BaseModel):
    healthy: bool


class Readiness(BaseModel):
    ready: bool
    problems: list[str]


class Refusal(BaseModel):
    detail: str


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "the Host header is missing, malformed or repeated"},
    405: {"model": Refusal, "description": "only GET and HEAD are allowed"},
    413: {"model": Refusal, "description": "requests may not have a body"},
    431: {"model": Refusal, "description": "the headers are too large"},
    421: {"model": Refusal, "description": "the endpoint is not served under this host name"},
}
_NO_TOKEN: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "the bearer token is missing or wrong"}
}


def create_app(
    config: StatusConfig,
    status: Callable[[], Status],
    metrics: Callable[[], bytes],
    last_image: Callable[[str], Path | None],
) -> FastAPI:
    """Make the application.

    ``status`` and ``metrics`` (counters in the Prometheus text format) are called for each request that needs
    them, from any thread. ``last_image`` gives the newest stored file of a camera and is called only if
    ``status.preview`` is set. Raises ConfigError when the token file or the allowed hosts are invalid.
    """
    token = read_token(config)
    app = FastAPI(
        title="edge anonymizer",
        version=edge.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        responses=_REFUSALS,
    )
    app.add_middleware(Guard, hosts=None if config.socket else Hosts(config), token=token)
    # The guard checks the token; this only mentions it in the OpenAPI description.
    described = {
        "dependencies": [Security(HTTPBearer(auto_error=False))] if token else [],
        "responses": _NO_TOKEN if token else {},
    }
    _add_probes(app, status, described)
    _add_views(app, status, metrics, described)
    _add_page(app)
    if config.preview:
        _add_preview(app, status, last_image, described)
    return app


def _add_probes(app: FastAPI, status: Callable[[], Status], described: dict[str, Any]) -> None:
    @app.get("/healthz", responses={503: {"model": Health, "description": "it makes none"}})
    def healthz(response: Response) -> Health:
        """200 while the pipeline makes progress. Needs no token."""
        healthy = status().healthy
        response.status_code = 200 if healthy else 503
        return Health(healthy=healthy)

    unready = {503: {"model": Readiness, "description": "they cannot; the problems say why"}}
    described = {**described, "responses": {**described["responses"], **unready}}

    @app.get("/readyz", **described)
    def readyz(response: Response) -> Readiness:
        """200 while frames of at least one camera can be checked and stored."""
        problems = status().problems
        response.status_code = 503 if problems else 200
        return Readiness(ready=not problems, problems=problems)


def _add_views(
    app: FastAPI, status: Callable[[], Status], metrics: Callable[[], bytes], described: dict[str, Any]
) -> None:
    @app.get("/status", **described)
    def show() -> Status:
        """Everything, as docs/status.schema.json describes it."""
        return status()

    class MetricsResponse(Response):
        media_type = METRICS_TYPE

    @app.get("/metrics", response_class=MetricsResponse, **described)
    def prometheus() -> Response:
        """The Prometheus text format."""
        return MetricsResponse(metrics() + gauges_text(status()))


def _add_page(app: FastAPI) -> None:
    page = (resources.files("edge.status") / "page.html").read_text(encoding="utf-8")
    policy = page_policy(page)

    @app.get("/", response_class=HTMLResponse)
    def index() -> HTMLResponse:
        """The page for people. It holds no data and needs no token, since it asks for the token itself."""
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def page_policy(page: str) -> str:
    """The Content-Security-Policy under which only this page's own script and style run."""

    def hashed(element: str) -> str:
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {hashed('script')}; style-src {hashed('style')}; "
        "connect-src 'self'; img-src blob: data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'"
    )


def _add_preview(
    app: FastAPI,
    status: Callable[[], Status],
    last_image: Callable[[str], Path | None],
    described: dict[str, Any],
) -> None:
    answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}},
        404: {"model": Refusal, "description": "no such camera, or it has no image"},
    }
    described = {**described, "responses": {**described["responses"], **answers}}

    @app.get("/preview/{camera}.jpg", response_class=Response, **described)
    def preview(camera: str) -> Response:
        """The last anonymized image of a camera; its media type is that of ``store.format``."""
        # The request only selects a known name; no path is built from it.
        known = [known.name for known in status().cameras if known.name == camera]
        path = last_image(known[0]) if known else None
        image = read_image(path) if path else None
        if image is None:
            raise HTTPException(404, "no such camera, or it has no image")
        return Response(image[0], media_type=image[1])
