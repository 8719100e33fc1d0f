"""The parts as one component is handed them: one that it has not asked for says so, where it is not there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from plugtron.contracts.parts import Parts
from plugtron.errors import PluginError
from plugtron.plugin.component import Need

__all__ = ["as_declared"]

_NEEDS = frozenset(Need)


@dataclass(frozen=True, slots=True, kw_only=True)
class _DeclaredParts(Parts):
    """Parts of which one that is missing without having been declared raises when it is looked at.

    Assembly builds what is declared, and no more. To hand over None would fail later, and say less.
    """

    asked_by: str = ""
    declared: frozenset[str] = frozenset()

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        absent = value is None or (isinstance(value, tuple) and not value)
        if name in _NEEDS and absent and name not in object.__getattribute__(self, "declared"):
            need = f"Need.{name.upper()}"
            raise PluginError(
                f"{object.__getattribute__(self, 'asked_by')} asks for parts.{name}, which nothing has built: its "
                f"Component must say so, needs=frozenset({{{need}}})"
            )
        return value


def as_declared(parts: Parts, title: str, needs: Collection[Need]) -> Parts:
    """The same parts for the factory of a component of this title, which has declared these needs."""
    values = {field.name: getattr(parts, field.name) for field in fields(Parts)}
    return _DeclaredParts(**values, asked_by=title, declared=frozenset(needs))
