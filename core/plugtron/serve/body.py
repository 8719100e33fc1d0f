"""Reading the body of a request: bounded in size and depth, JSON, and of a known form."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from plugtron.errors import RequestError
from plugtron.serve.api_error import ApiError
from plugtron.serve.unwritable import find_unwritable
from plugtron.utils.validation import describe

__all__ = ["parse_json", "read_body", "read_json", "refuse_size"]

_Form = TypeVar("_Form", bound=BaseModel)
#: Bytes of JSON whose reading would hold up the event loop for more than some milliseconds.
_LARGE = 2**20
#: Levels of nesting that a body may have: what reads it later must not run out of stack.
_DEPTH = 200


async def read_body(request: Request, form: type[_Form]) -> _Form:
    """Read the body of a request as one of `form`.

    Raises:
        ApiError: 400 or 413, with what is wrong.
        RequestError: fields are wrong; with each of them.
    """
    values = await read_json(request)
    try:
        return form.model_validate(values)
    except ValidationError as error:
        raise RequestError(found=describe(error, form, values)) from None


async def read_json(request: Request) -> dict[str, Any]:
    """Read the body of a request as a JSON object.

    Raises:
        ApiError: it is too large, no JSON, nested too deeply, or something else than an object.
    """
    raw = await _bytes(request, request.app.state.max_body_bytes)
    parsed = await asyncio.to_thread(parse_json, raw) if len(raw) > _LARGE else parse_json(raw)
    if not isinstance(parsed, dict):
        _refuse(f"the body must be a JSON object (got {type(parsed).__name__})")
    return parsed


async def _bytes(request: Request, limit: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:18]) > limit:
        refuse_size(limit)
    pieces, size = list[bytes](), 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                refuse_size(limit)
            pieces.append(piece)
    except ClientDisconnect:
        _refuse("the connection was closed before the body was complete")
    return b"".join(pieces)


def parse_json(raw: bytes, name: str = "the body") -> Any:
    """Read JSON that a stranger has written; `name` is what messages call it.

    Raises:
        ApiError: it is none, is nested too deeply, or has values that an answer could not repeat.
    """
    try:
        parsed = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        _refuse(f"{name} is not UTF-8: byte {error.start}")
    except RecursionError:
        _refuse(f"{name} is nested too deeply (accepted: {_DEPTH} levels)")
    except json.JSONDecodeError as error:
        _refuse(f"{name} is no JSON: {error.msg}, line {error.lineno} column {error.colno}")
    except ValueError as error:  # a number of thousands of digits, or NaN
        _refuse(f"{name} is no JSON: {error}")
    if _is_deeper(parsed, _DEPTH):
        _refuse(f"{name} is nested too deeply (accepted: {_DEPTH} levels)")
    if found := find_unwritable(raw, parsed):
        place, problem = found
        raise ApiError(HTTPStatus.BAD_REQUEST, f"{place or name}: {problem}", param=place, code="invalid_body")
    return parsed


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether a value of JSON has more levels; without recursion."""
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        layer = [
            inner
            for each in layer
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
    return bool(layer)


def _refuse(message: str) -> NoReturn:
    raise ApiError(HTTPStatus.BAD_REQUEST, message, code="invalid_body")


def refuse_size(limit: int, name: str = "the body", option: str = "serve.max_body_bytes") -> NoReturn:
    """Refuse what is too large. What is still coming is not read: the connection takes no other request.

    Raises:
        ApiError: 413.
    """
    raise ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"{name} is larger than {limit} bytes ({option})",
        code="body_too_large",
        headers={"Connection": "close"},
    )
