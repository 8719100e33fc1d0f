"""/v1/batches"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import AfterValidator, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.serve.api_error import ApiError
from plugtron.serve.batches.batch_table import Batch, BatchTable
from plugtron.serve.batches.page import page_body, read_query
from plugtron.serve.body import read_body
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.openai.fields import Fields

__all__ = ["BatchBody", "BatchRoutes"]

_WINDOW = re.compile(r"([1-9]\d{0,5})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: When a batch got each status, in the order of OpenAI's API.
_TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


def _seconds(window: str) -> int:
    found = _WINDOW.fullmatch(window)
    if found is None:
        raise ValueError(
            f"completion_window: must be a number and one of s, m, h and d, such as '24h' (got {window!r})"
        )
    return int(found[1]) * _UNITS[found[2]]


def _checked_window(window: str) -> str:
    _seconds(window)
    return window


class BatchBody(Fields):
    """The body of /v1/batches."""

    input_file_id: str = Field(description="an uploaded file, with a request in each line")
    endpoint: Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"] = Field(
        description="the url of all lines"
    )
    completion_window: Annotated[str, AfterValidator(_checked_window)] = Field(
        description="what is not answered by then has an error: a number and s, m, h or d"
    )
    metadata: dict[str, str] | None = Field(default=None, max_length=16, description="is given back as it is")


class _ListQuery(Fields):
    after: str | None = None
    limit: int = Field(default=20, ge=1, le=100)


class BatchRoutes:
    """The endpoints of batches.

    Args:
        table: gives the batches, once the server takes requests.
        begin: has a batch run that has been added.
        cancel: has a batch stop that is being cancelled.
    """

    def __init__(
        self, table: Callable[[], BatchTable], *, begin: Callable[[str], None], cancel: Callable[[str], None]
    ) -> None:
        self._table = table
        self._begin = begin
        self._cancel = cancel

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        return (
            Endpoint("/v1/batches", self._create, "begin a batch", form=BatchBody),
            Endpoint("/v1/batches", self._list, "the batches, the latest first"),
            Endpoint("/v1/batches/{id}", self._get, "one of them"),
            Endpoint("/v1/batches/{id}/cancel", self._cancelled, "stop it, and keep what it has", method="POST"),
        )

    async def _create(self, http: Request) -> Response:
        batch = _new_batch(await read_body(http, BatchBody))
        await self._table().add(batch)
        self._begin(batch["id"])
        return JSONResponse(await self._table().get(batch["id"]))

    async def _list(self, http: Request) -> Response:
        query = read_query(http, _ListQuery)
        batches, has_more = await self._table().page(after=query.after, limit=query.limit)
        return JSONResponse(page_body(batches, has_more=has_more))

    async def _get(self, http: Request) -> Response:
        return JSONResponse(await self._table().get(http.path_params["id"]))

    async def _cancelled(self, http: Request) -> Response:
        batch_id = http.path_params["id"]
        batch = await self._table().move(batch_id, ("validating", "in_progress"), "cancelling")
        if batch["status"] != "cancelling":
            raise ApiError(HTTPStatus.CONFLICT, f"{batch_id} is {batch['status']}, and cannot be cancelled any more")
        self._cancel(batch_id)
        return JSONResponse(batch)


def _new_batch(body: BatchBody) -> Batch:
    now = int(time.time())
    return {
        "id": f"batch_{uuid4().hex}",
        "object": "batch",
        "endpoint": body.endpoint,
        "errors": None,
        "input_file_id": body.input_file_id,
        "completion_window": body.completion_window,
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": now,
        "expires_at": now + _seconds(body.completion_window),
        **{f"{status}_at": None for status in _TIMES},
        "metadata": body.metadata,
    }
