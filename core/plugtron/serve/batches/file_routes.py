"""/v1/files"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal
from uuid import uuid4

from pydantic import Field
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from plugtron.errors import RequestError
from plugtron.serve.batches.file_table import FileTable, StoredFile
from plugtron.serve.batches.page import page_body, read_query
from plugtron.serve.batches.upload import FormReader, read_form
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.openai.fields import Fields

__all__ = ["FileRoutes"]

_PURPOSE = "batch"


class _ListQuery(Fields):
    after: str | None = None
    limit: int = Field(default=10_000, ge=1, le=10_000)
    order: Literal["asc", "desc"] = "desc"
    purpose: str | None = None


class FileRoutes:
    """The endpoints of files.

    Args:
        table: gives the files, once the server takes requests.
        max_bytes: of a file that is uploaded.
    """

    def __init__(self, table: Callable[[], FileTable], max_bytes: int) -> None:
        self._table = table
        self._max_bytes = max_bytes

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        binary = "application/octet-stream"
        return (
            Endpoint("/v1/files", self._upload, "upload a file: a form with file, and purpose batch", method="POST"),
            Endpoint("/v1/files", self._list, "the files, the latest first"),
            Endpoint("/v1/files/{id}", self._get, "one of them"),
            Endpoint("/v1/files/{id}", self._delete, "delete it", method="DELETE"),
            Endpoint("/v1/files/{id}/content", self._content, "what is in it", answers=binary),
        )

    async def _upload(self, http: Request) -> Response:
        table, file_id = self._table(), f"file-{uuid4().hex}"
        async with table.written(file_id) as contents:
            form = await read_form(http, contents, self._max_bytes)
            _check(form)
        assert form.filename is not None
        file = StoredFile(
            id=file_id, created=int(time.time()), size=form.size, name=form.filename, purpose=form.fields["purpose"]
        )
        await table.add(file)
        return JSONResponse(file.body())

    async def _list(self, http: Request) -> Response:
        query = read_query(http, _ListQuery)
        descending = query.order == "desc"
        found = await self._table().page(
            after=query.after, limit=query.limit, descending=descending, purpose=query.purpose
        )
        return JSONResponse(page_body([file.body() for file in found[0]], has_more=found[1]))

    async def _get(self, http: Request) -> Response:
        file = await self._table().get(http.path_params["id"])
        return JSONResponse(file.body())

    async def _delete(self, http: Request) -> Response:
        file_id = http.path_params["id"]
        await self._table().delete(file_id)
        return JSONResponse({"id": file_id, "object": "file", "deleted": True})

    async def _content(self, http: Request) -> Response:
        file = await self._table().get(http.path_params["id"])
        return FileResponse(self._table().path(file.id), media_type="application/octet-stream", filename=file.name)


def _check(form: FormReader) -> None:
    if form.filename is None:
        raise RequestError("file: is required")
    unknown = sorted(form.fields.keys() - {"purpose"})
    if unknown:
        raise RequestError(f"{unknown[0]}: is no field of an upload here (accepted: file, purpose)")
    purpose = form.fields.get("purpose")
    if purpose != _PURPOSE:
        raise RequestError(f"purpose: must be '{_PURPOSE}' (got {purpose!r})")
