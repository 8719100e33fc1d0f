"""Whether the server lives, and whether it takes requests."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.routes import Routes
from plugtron.serve.endpoint import Endpoint

__all__ = ["HealthRoutes"]


class HealthRoutes(Routes):
    """/health, /ready and /version. While the model is loaded, and while the server stops, /ready has status 503."""

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        return (
            Endpoint("/health", _alive, "whether the server lives"),
            Endpoint("/ready", _alive, "whether it takes requests; 503 while the model is loaded and while it stops"),
            Endpoint("/version", _version, "plugtron's version"),
        )


async def _alive(http: Request) -> Response:
    del http
    return JSONResponse({"status": "ok"})


async def _version(http: Request) -> Response:
    del http
    return JSONResponse({"version": version("plugtron")})
