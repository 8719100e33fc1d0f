"""The bases of what a component is configured with; apart from `component`, which must not cost pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

__all__ = ["Options", "Params", "PathText", "is_path"]


@dataclass(frozen=True, slots=True)
class _PathMark:
    """An annotation beside a type: the text is a path."""


#: A path in a component's options. In a spec file ~ and ${NAME} are filled in, and relative ones begin at its folder.
PathText = Annotated[str, _PathMark()]


class _Checked(BaseModel):
    """Numbers are numbers: neither true and false, nor texts of digits, which pydantic would take for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_from_elsewhere(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool | str) and info.field_name is not None:
            kinds = _plain_types(cls.model_fields[info.field_name].annotation)
            literals = [] if bool in kinds else [kind for kind in kinds if not isinstance(kind, type)]
            # To Python, false is 0.
            if (
                literals
                and isinstance(value, bool)
                and bool not in kinds
                and not any(value is each for each in literals)
            ):
                raise ValueError(f"must be {' or '.join(sorted(map(repr, literals)))} (got {value!r})")
            if kinds & {int, float} and type(value) not in kinds and kinds <= {int, float, bool, type(None)}:
                raise ValueError(f"must be a {'number' if float in kinds else 'whole number'} (got {value!r})")
        return value


def _plain_types(annotation: Any) -> set[Any]:
    """The types that an annotation unites."""
    arguments = get_args(annotation)
    return {annotation} if not arguments else {kind for argument in arguments for kind in _plain_types(argument)}


class Options(_Checked):
    """Base of a component's options: they belong to the run and stand under `options` in the spec.

    The module of a subclass must import without torch, because specs are checked without it.

    `earlier_names` are those that fields had before, which are still taken: {earlier: present}.
    """

    earlier_names: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _present_names(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        present: dict[Any, Any] = {}
        for name, value in values.items():
            name = cls.earlier_names.get(name, name)
            if name in present:
                raise ValueError(f"{name}: is given twice")
            present[name] = value
        return present


def is_path(field: FieldInfo) -> bool:
    """Whether a field of options holds a path."""
    return _has_mark(field.annotation) or any(isinstance(mark, _PathMark) for mark in field.metadata)


def _has_mark(annotation: Any) -> bool:
    marks = getattr(annotation, "__metadata__", ())
    return any(isinstance(mark, _PathMark) for mark in marks) or any(map(_has_mark, get_args(annotation)))


class Params(_Checked):
    """Base of a sampler's parameters: they belong to a request. Every field defaults to None, "not asked for".

    A field's `json_schema_extra` may say more of it: `source`, the paper or software that it is from; `unset`, what
    None amounts to; `needs`, the name of a field without which it changes nothing, and is refused.
    """
