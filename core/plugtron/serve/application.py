"""The ASGI application: the endpoints of all components, what stands before them, and errors in one form."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.routes import Routes
from plugtron.errors import PlugtronError
from plugtron.serve.api_error import ApiError, as_api_error

__all__ = ["make_application"]

_LOG = logging.getLogger("plugtron.serve")


def make_application(parts: Sequence[Routes], *, max_body_bytes: int, guarded: bool = True) -> Starlette:
    """Put the endpoints of components together, in their order; middleware of the first is outermost.

    Args:
        guarded: whether the middleware stands before them; not where the server asks itself.
    """
    application = Starlette(
        routes=[route for part in parts for route in part.routes()],
        middleware=[each for part in parts for each in part.middleware()] if guarded else [],
        exception_handlers={
            PlugtronError: _explained,
            HTTPException: _http,
            Exception: _unexpected,
        },
    )
    application.state.max_body_bytes = max_body_bytes
    return application


async def _explained(http: Request, error: Exception) -> Response:
    del http
    assert isinstance(error, PlugtronError)
    return error_response(as_api_error(error))


async def _http(http: Request, error: Exception) -> Response:
    """What Starlette itself refuses: paths and methods that are not there."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    message = f"{http.method} {http.url.path}: {status.phrase.lower()}"
    return error_response(ApiError(status, message, headers=dict(error.headers or {})))


async def _unexpected(http: Request, error: Exception) -> Response:
    """A defect: the client is told no more than that, the log everything."""
    _LOG.error("%s %s failed", http.method, http.url.path, exc_info=error)
    return error_response(ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "the server has failed; its log says how"))


def error_response(error: ApiError) -> Response:
    """The response of an error."""
    return JSONResponse(error.body(), status_code=error.status, headers=dict(error.headers))
