"""Errors in the form of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from plugtron.errors import EngineError, OverloadError, ParallelError, PlugtronError, RequestError

__all__ = ["ApiError", "as_api_error"]

#: Seconds after which a refused client may try again.
_RETRY_AFTER_S = 1
_TYPES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}


class ApiError(PlugtronError):
    """What a client is told instead of an answer.

    Args:
        status: of HTTP.
        message: for people.
        param: the field of the body that is wrong.
        code: a word for programs.
        headers: for the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.status = int(status)
        self.message = message
        self.param = param
        self.code = code
        self.headers = headers

    @property
    def type(self) -> str:
        """OpenAI's word for the kind of error."""
        return _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")

    def body(self) -> dict[str, Any]:
        """The error as data for JSON."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def as_api_error(error: PlugtronError) -> ApiError:
    """The same error with its status: 400 what the request asks for, 429 and 503 what a server cannot do now."""
    if isinstance(error, ApiError):
        return error
    message = str(error)
    if isinstance(error, RequestError):
        return ApiError(HTTPStatus.BAD_REQUEST, message, param=_field(error), code=_code(message))
    if isinstance(error, OverloadError):
        return ApiError(
            HTTPStatus.TOO_MANY_REQUESTS, message, code="overloaded", headers={"Retry-After": str(_RETRY_AFTER_S)}
        )
    if isinstance(error, EngineError | ParallelError):
        return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, message, code="engine_error")
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, message)


def _field(error: RequestError) -> str | None:
    """The field that an error speaks of, where its text begins with one."""
    if error.found and error.found[0][0]:
        return ".".join(map(str, error.found[0][0]))
    name, colon, _ = str(error).partition(":")
    return name if colon and name.replace(".", "_").isidentifier() else None


def _code(message: str) -> str | None:
    return "context_length_exceeded" if "max_sequence_length" in message else None
