"""Whether the server lives, and whether it takes requests."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.routes import Routes
from plugtron.serve.api_error import ApiError
from plugtron.serve.endpoint import Endpoint

__all__ = ["HealthRoutes"]


class HealthRoutes(Routes):
    """/health, /ready and /version. /ready has status 503 while the model is loaded, while the server stops, and while
    no replica is there to answer.
    """

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        return (
            Endpoint("/health", _alive, "whether the server lives"),
            Endpoint("/ready", self._ready, "whether it takes requests; 503 while it cannot"),
            Endpoint("/version", _version, "plugtron's version"),
        )

    async def _ready(self, http: Request) -> Response:
        del http
        if reason := self.service.why_not_ready:
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, reason, code="unavailable", headers={"Retry-After": "1"})
        return JSONResponse({"status": "ok"})


async def _alive(http: Request) -> Response:
    del http
    return JSONResponse({"status": "ok"})


async def _version(http: Request) -> Response:
    del http
    return JSONResponse({"version": version("plugtron")})
