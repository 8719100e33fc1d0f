"""pydantic's errors in plugtron's words: the place, what is wrong, what is accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from plugtron.errors import suggestion

__all__ = ["Form", "Location", "describe", "plain"]

Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """What a field's value looks like, for messages: an annotation beside its type."""

    text: str


#: How pydantic's error types read; {…} are fields of the error's context.
_TEXTS = {
    "missing": "is required",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "finite_number": "must be a finite number",
    "too_short": "must have at least {min_length} entry",
    "invalid_key": "must be a name: a text",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "list_type": "must be a list",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_unicode": "must be Unicode text: it has half of a pair in it",
    "string_pattern_mismatch": "must match {pattern}",
    "too_long": "must have at most {max_length} entries",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "value_error": "{error}",
}


#: Mistakes about what kind of value it is, not about which.
_SHAPES = ("dict_type", "model_type", "model_attributes_type", "list_type", "string_type")


def describe(error: ValidationError, model: type[BaseModel], values: Any) -> list[tuple[Location, str]]:
    """Say of each mistake that `model` found in `values` where it is and what is wrong."""
    found: dict[Location, str] = {}
    for detail in error.errors(include_url=False):
        location = _real_location(detail["loc"], values)
        if detail["type"] == "extra_forbidden":
            text = _no_such_option(model, location)
        else:
            text = _TEXTS.get(detail["type"], detail["msg"]).format_map(_plain_limits(detail.get("ctx", {})))
            if detail["type"] in _SHAPES and (form := _form(model, location)):
                text = f"must be {form.text}"
            text += "" if detail["type"] in ("missing", "value_error") else f" (got {plain(detail['input'])})"
        # A union reports one mistake once per member; the first report of a place is enough.
        found.setdefault(location, text)
    return list(found.items())


def _plain_limits(context: Mapping[str, Any]) -> dict[str, Any]:
    """Without ".0" behind whole numbers."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in context.items()
    }


def plain(value: object) -> str:
    """A value as a message echoes it, cut when it is long."""
    try:
        text = repr(value)
    except ValueError:  # a number of more digits than Python writes
        text = f"a number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."


def _real_location(location: Location, values: Any) -> Location:
    """Drop the names of union members that pydantic mixes into a location: keep what leads into the values."""
    kept: list[int | str] = []
    inner: Any = values
    for index, part in enumerate(location):
        inside = (isinstance(inner, Mapping) and part in inner) or (
            isinstance(inner, list | tuple) and isinstance(part, int) and part < len(inner)
        )
        if inside:
            inner = inner[part]  # pyright: ignore[reportArgumentType, reportCallIssue] - looked at just above
            kept.append(part)
        elif isinstance(inner, Mapping) and index == len(location) - 1:
            kept.append(part)  # a field that is missing
    return tuple(kept)


def _no_such_option(model: type[BaseModel], location: Location) -> str:
    model = _model_at(model, location)
    accepted, name = sorted(model.model_fields), str(location[-1])
    listed = f"accepted: {', '.join(accepted)}" if accepted else "it takes none"
    hint = getattr(model, "hint", None)
    return f"no such option ({listed}).{(hint and hint(name)) or suggestion(name, accepted)}"


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel]:
    """The model that holds the last field of a location."""
    for part, following in pairwise(location):
        field = model.model_fields.get(str(part))
        nested = [] if field is None else list(_models_in(field.annotation, in_list=isinstance(following, int)))
        model = nested[0] if nested else model
    return model


def _form(model: type[BaseModel], location: Location) -> Form | None:
    field = _model_at(model, location).model_fields.get(str(location[-1])) if location else None
    return next((mark for mark in field.metadata if isinstance(mark, Form)), None) if field else None


def _models_in(annotation: Any, *, in_list: bool) -> Iterator[type[BaseModel]]:
    """The models that a field may hold, in a list or directly."""
    if get_origin(annotation) is list:
        if in_list:
            yield from _models_in(get_args(annotation)[0], in_list=False)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not in_list:
            yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models_in(argument, in_list=in_list)
