"""Checking the parts of other packages that a spec names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from plugtron.diagnosis.part import Part
from plugtron.diagnosis.plugin_check import PluginSource, check_parts
from plugtron.spec.resolved import ResolvedComponent

__all__ = ["check_chosen"]


def check_chosen(
    components: Sequence[ResolvedComponent], files: Sequence[Path]
) -> Iterator[tuple[ResolvedComponent, str]]:
    """Say of each component why it cannot be built, as far as that shows without building it; a process per plugin."""
    of_plugin: dict[PluginSource, dict[Part, ResolvedComponent]] = {}
    for chosen in components:
        offer = chosen.offer
        source = PluginSource(distribution=offer.distribution, name=offer.plugin, files=tuple(files))
        of_plugin.setdefault(source, {})[Part.of(offer.kind, offer.component)] = chosen
    for source, parts in of_plugin.items():
        for part, level, text in check_parts(source, list(parts)):
            if level == "error":
                yield parts[part], text
