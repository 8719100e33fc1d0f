"""Reading a spec as the command line names it: file, overrides, plugins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plugtron.cli.common import PluginChoice, make_manager
from plugtron.plugin.manager import PluginManager
from plugtron.spec.load import Source, read
from plugtron.spec.overrides import apply, split
from plugtron.spec.resolution import resolve
from plugtron.spec.resolved import ResolvedSpec

__all__ = ["resolve_file", "resolve_source"]


def resolve_file(path: Path, overrides: Sequence[str], choice: PluginChoice) -> tuple[ResolvedSpec, PluginManager]:
    """Read and check a spec file.

    Raises:
        SpecError, PluginError: as `resolve`.
    """
    return resolve_source(apply(read(path), split(overrides)), choice)


def resolve_source(source: Source, choice: PluginChoice) -> tuple[ResolvedSpec, PluginManager]:
    """Check a spec against the plugins that it and the command line allow."""
    manager = make_manager(choice, source.disabled)
    return resolve(source, manager), manager
