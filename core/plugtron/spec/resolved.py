"""A spec that can run: what resolving makes of what is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plugtron.contracts.checkpoint import ModelDescription
from plugtron.plugin.component import Kind
from plugtron.plugin.options import Options
from plugtron.plugin.registry import RegisteredComponent
from plugtron.spec.load import Place
from plugtron.spec.model import Spec

__all__ = ["ResolvedComponent", "ResolvedSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedComponent:
    """A chosen component: where the spec names it, who offers it, and its validated options."""

    place: Place
    offer: RegisteredComponent
    options: Options


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSpec:
    """A spec that can run. `spec` is the same in plain data, with every default written out.

    `plugin_options` are for observers, by plugin. `model`, `reader` and a component that was `auto` are missing as long
    as the checkpoint is not at hand.
    """

    spec: Spec
    components: tuple[ResolvedComponent, ...]
    model: ModelDescription | None
    reader: RegisteredComponent | None
    plugin_options: Mapping[str, Options] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """The spec as plain data."""
        return self.spec.model_dump()

    def chosen(self, kind: Kind) -> list[ResolvedComponent]:
        """The components of a kind, in the order of the spec."""
        return [component for component in self.components if component.offer.kind == kind]

    def uses(self, kind: str, name: str) -> bool:
        """Whether the spec has chosen this component."""
        return any(component.offer.name == name for component in self.chosen(Kind(kind)))
