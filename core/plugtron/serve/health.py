"""Whether the server lives, and whether it takes requests."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Self

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plugtron.contracts.routes import Routes, Service
from plugtron.plugin.options import Options

__all__ = ["HealthRoutes"]


class HealthRoutes(Routes):
    """/health, /ready and /version. While the model is loaded, and while the server stops, /ready has status 503."""

    @classmethod
    def assemble(cls, service: Service, options: Options) -> Self:
        """Make them; there are no options."""
        del service, options
        return cls()

    def routes(self) -> Sequence[Route]:
        """The endpoints."""
        return (Route("/health", _alive), Route("/ready", _alive), Route("/version", _version))


async def _alive(http: Request) -> Response:
    del http
    return JSONResponse({"status": "ok"})


async def _version(http: Request) -> Response:
    del http
    return JSONResponse({"version": version("plugtron")})
