"""The pages as a component."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Self

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plugtron.contracts.routes import Routes, Service
from plugtron.plugin.options import Options
from plugtron.serve.api_error import ApiError
from plugtron.serve.pages.assembled import assembled
from plugtron.serve.pages.files import GUARD, PageFile, page_files
from plugtron.serve.pages.state import state
from plugtron.serve.parameters import service_parameters

__all__ = ["PagesRoutes"]


class PagesRoutes(Routes):
    """A chat at /, what the server is doing at /plugtron, and the data that the two ask for. All of it is read only."""

    def __init__(self, service: Service, files: dict[str, PageFile]) -> None:
        super().__init__(service)
        self._files = files

    @classmethod
    def assemble(cls, service: Service, options: Options) -> Self:
        """Make them; there are no options."""
        del options
        return cls(service, page_files())

    def routes(self) -> Sequence[Route]:
        """The endpoints."""
        return (
            Route("/", self._files["chat.html"].answer),
            Route("/plugtron", self._files["server.html"].answer),
            Route("/static/{name}", self._static),
            Route("/plugtron/parameters", self._parameters),
            Route("/plugtron/assembled", self._assembled),
            Route("/plugtron/state", self._state),
        )

    async def _static(self, http: Request) -> Response:
        name = http.path_params["name"]
        if name not in self._files:
            raise ApiError(HTTPStatus.NOT_FOUND, f"the pages have no file {name!r}")
        return await self._files[name].answer(http)

    async def _parameters(self, http: Request) -> Response:
        del http
        return _data(await asyncio.to_thread(service_parameters, self.service))

    async def _assembled(self, http: Request) -> Response:
        del http
        return _data(await asyncio.to_thread(assembled, self.service))

    async def _state(self, http: Request) -> Response:
        del http
        return _data(state(self.service))


def _data(data: dict[str, Any]) -> Response:
    return JSONResponse(data, headers={**GUARD, "Cache-Control": "no-store"})
