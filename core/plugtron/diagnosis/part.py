"""A component by its names: what can be said of it to another process."""

from __future__ import annotations

from dataclasses import dataclass

from plugtron.plugin.component import Component, Kind

__all__ = ["Part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A component, and what its check imports.

    `light` are the targets that every check of a spec imports, and that should therefore do without torch.
    """

    kind: str
    name: str
    target: str
    light: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: Kind, component: Component) -> Part:
        """The names in a component."""
        named = [component.options, component.params, component.precheck]
        named += [component.target] if kind is Kind.CHECKPOINT else []
        light = tuple(dict.fromkeys(target for target in named if isinstance(target, str)))
        return cls(kind=kind.value, name=component.name, target=component.target, light=light)

    @property
    def title(self) -> str:
        """The component as messages name it."""
        return f"{self.kind} {self.name!r}"
