"""Reading the form of an upload: its fields into memory, its file onto the disk, both within bounds."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import BinaryIO, NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from plugtron.serve.api_error import ApiError
from plugtron.serve.body import refuse_size

__all__ = ["FormReader", "read_form"]

#: Bytes that are parsed and written at a time, in a thread.
_PIECE = 2**20
#: Bytes of all fields, and of the form around them and the file.
_FIELD_BYTES = 2**16
_MAX_FIELDS = 32


class FormReader:
    """A form while it comes in: `fields`, and the file, of which `filename` and `size` are known.

    Args:
        file: where the contents of the part `file` go.
        limit: how many bytes they may have.
    """

    def __init__(self, boundary: bytes, file: BinaryIO, limit: int) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.size = 0
        self.is_complete = False
        self._file = file
        self._limit = limit
        self._name = ""
        self._header, self._value, self._disposition = b"", b"", b""
        self._text = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_header,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._name_part,
                "on_part_data": self._add,
                "on_part_end": self._end,
                "on_end": self._complete,
            },
        )

    def write(self, data: bytes) -> None:
        """Take what has come in.

        Raises:
            ApiError: it is no form, or is too large.
            OSError: the file cannot be written.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            _refuse(f"the body is no form: {error}")

    def _begin(self) -> None:
        self._name, self._disposition = "", b""
        self._text.clear()

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _name_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode(errors="replace")
        if not self._name:
            _refuse("a part of the form has no name")
        if self._name in self.fields or (self._name == "file" and self.filename is not None):
            _refuse(f"{self._name}: is given twice")
        if len(self.fields) >= _MAX_FIELDS:
            _refuse(f"the form has more than {_MAX_FIELDS} fields")
        if self._name == "file":
            self.filename = options.get(b"filename", b"file").decode(errors="replace")

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._name != "file":
            self._text += data[start:end]
            if len(self._text) > _FIELD_BYTES:
                _refuse(f"{self._name}: is longer than {_FIELD_BYTES} bytes")
            return
        self.size += end - start
        if self.size > self._limit:
            refuse_size(self._limit, "the file", "max_file_bytes of batches")
        self._file.write(memoryview(data)[start:end])

    def _end(self) -> None:
        if self._name != "file":
            self.fields[self._name] = self._text.decode(errors="replace")

    def _complete(self) -> None:
        self.is_complete = True


async def read_form(request: Request, file: BinaryIO, limit: int) -> FormReader:
    """Read the form in the body of a request, writing its part `file` into `file`.

    Raises:
        ApiError: 400 or 413, with what is wrong.
        OSError: the file cannot be written.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        _refuse("the body must be a form: multipart/form-data, with a boundary")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:18]) > limit + _MAX_FIELDS * _FIELD_BYTES:
        refuse_size(limit, "the file", "max_file_bytes of batches")
    try:
        reader = FormReader(options[b"boundary"], file, limit)
    except FormParserError as error:
        _refuse(f"the body is no form: {error}")
    piece = bytearray()
    try:
        async for data in request.stream():
            piece += data
            if len(piece) >= _PIECE:
                await asyncio.to_thread(reader.write, bytes(piece))
                piece.clear()
    except ClientDisconnect:
        _refuse("the connection was closed before the form was complete")
    if piece:
        await asyncio.to_thread(reader.write, bytes(piece))
    if not reader.is_complete:
        _refuse("the form is not complete: its last boundary is missing")
    return reader


def _refuse(message: str) -> NoReturn:
    headers = {"Connection": "close"}  # what is still coming is not read
    raise ApiError(HTTPStatus.BAD_REQUEST, message, code="invalid_form", headers=headers)
