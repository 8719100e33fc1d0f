"""Pages of a list, in the form of OpenAI's API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.requests import Request

from plugtron.errors import RequestError
from plugtron.serve.openai.fields import Fields
from plugtron.utils.validation import describe

__all__ = ["page_body", "read_query"]

_Form = TypeVar("_Form", bound=Fields)


def read_query(request: Request, form: type[_Form]) -> _Form:
    """Read what stands behind the question mark.

    Raises:
        RequestError: with each field that is wrong.
    """
    values: dict[str, str] = dict(request.query_params)
    try:
        return form.model_validate_strings(values)
    except ValidationError as error:
        raise RequestError(found=describe(error, form, values)) from None


def page_body(data: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page of things that have an id."""
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": ends[0], "last_id": ends[1], "has_more": has_more}
