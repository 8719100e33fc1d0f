"""An endpoint that says what it takes, for /openapi.json and the documentation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["Endpoint"]


class Endpoint(Route):
    """A route of Starlette with a description.

    Args:
        path: with names in braces for what differs.
        answer: what answers.
        summary: what it does, in a line.
        form: of the body; with it, the method is POST.
        method: otherwise.
        answers: the media type of responses.
    """

    def __init__(
        self,
        path: str,
        answer: Callable[[Request], Awaitable[Response]],
        summary: str,
        *,
        form: type[BaseModel] | None = None,
        method: str | None = None,
        answers: str = "application/json",
    ) -> None:
        self.method = method or ("GET" if form is None else "POST")
        super().__init__(path, answer, methods=[self.method])
        self.summary = summary
        self.form = form
        self.answers = answers
