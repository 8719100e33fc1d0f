"""What every section of a spec is, and how it names a component."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plugtron.spec.words import hint

__all__ = ["ComponentRef", "Section"]


class Section(BaseModel):
    """A mapping with known fields."""

    # Strict: a number in quotes and a truth value are no numbers, and no number is a text.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def hint(cls, name: str) -> str:
        """What to say to who writes a name that is no field here."""
        return hint(name)


class ComponentRef(Section):
    """A component by name ("static" or "static@plugtron"), and its options. A bare name means no options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value
