"""A line of a batch's input: one request for an endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from pydantic import Field, ValidationError

from plugtron.errors import PlugtronError
from plugtron.serve.api_error import ApiError
from plugtron.serve.body import parse_json
from plugtron.serve.openai.fields import Fields
from plugtron.utils.validation import describe

__all__ = ["URLS", "BatchLine", "LineError", "numbered_lines", "parse_line"]

#: The endpoints that batches may ask.
URLS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
#: Bytes of a line beside its body.
_HEAD_BYTES = 2**16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineError(PlugtronError):
    """A line is no request.

    Args:
        code: OpenAI's word for what is wrong.
        custom_id: the line's, where it can be read.
    """

    def __init__(self, line: int, code: str, message: str, custom_id: str | None = None) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.code = code
        self.custom_id = custom_id

    def body(self) -> dict[str, Any]:
        """The error as data for JSON."""
        return {"code": self.code, "message": str(self), "line": self.line}


class _Form(Fields):
    custom_id: str = Field(min_length=1, max_length=512)
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """A request: who it is, which endpoint it asks, and what."""

    number: int
    custom_id: str
    url: str
    body: dict[str, Any]


def numbered_lines(file: BinaryIO, max_body_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield the lines that are not empty, with their numbers from 1; None for one whose body must be too large."""
    limit = max_body_bytes + _HEAD_BYTES
    number = 0
    while raw := file.readline(limit):
        number += 1
        if number == 1:
            raw = raw.removeprefix(_BYTE_ORDER_MARK)
        if len(raw) == limit and not raw.endswith(b"\n"):
            while (rest := file.readline(limit)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        elif raw.strip():
            yield number, raw


def parse_line(raw: bytes | None, number: int) -> BatchLine:
    """Read a line.

    Raises:
        LineError: it is no request.
    """
    if raw is None:
        raise LineError(number, "invalid_json_line", "it is longer than serve.max_body_bytes allows")
    try:
        values = parse_json(raw, "it")
    except ApiError as error:
        raise LineError(number, "invalid_json_line", error.message) from None
    if not isinstance(values, dict):
        raise LineError(number, "invalid_json_line", f"it must be a JSON object (got {type(values).__name__})")
    given = values.get("custom_id")
    custom_id = given if isinstance(given, str) else None
    try:
        form = _Form.model_validate(values)
    except ValidationError as error:
        found = describe(error, _Form, values)
        text = "; ".join(f"{'.'.join(map(str, place))}: {message}" for place, message in found)
        raise LineError(number, "invalid_request", text, custom_id) from None
    if form.url not in URLS:
        raise LineError(number, "invalid_url", f"url: must be {' or '.join(URLS)} (got {form.url!r})", custom_id)
    if form.body.get("stream"):
        raise LineError(number, "invalid_request", "body.stream: a batch has no streams", custom_id)
    return BatchLine(number=number, custom_id=form.custom_id, url=form.url, body=form.body)
