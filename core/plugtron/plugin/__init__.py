"""The plugin system: hooks, discovery, registry, and the options of components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.plugin.checked_spec import CheckedSpec
    from plugtron.plugin.component import Component, Kind, Need
    from plugtron.plugin.declared_needs import unmet_needs
    from plugtron.plugin.discovery import Failure, Plugin
    from plugtron.plugin.manager import PluginManager, PluginOptions
    from plugtron.plugin.options import Options, Params, PathText
    from plugtron.plugin.probe import Probe
    from plugtron.plugin.registry import RegisteredComponent, Registry
    from plugtron.plugin.run_info import Outcome, RunInfo

__all__ = [
    "CheckedSpec",
    "Component",
    "Failure",
    "Kind",
    "Need",
    "Options",
    "Outcome",
    "Params",
    "PathText",
    "Plugin",
    "PluginManager",
    "PluginOptions",
    "Probe",
    "RegisteredComponent",
    "Registry",
    "RunInfo",
    "unmet_needs",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "CheckedSpec": "plugtron.plugin.checked_spec",
    "Component": "plugtron.plugin.component",
    "Failure": "plugtron.plugin.discovery",
    "Kind": "plugtron.plugin.component",
    "Need": "plugtron.plugin.component",
    "Options": "plugtron.plugin.options",
    "Outcome": "plugtron.plugin.run_info",
    "Params": "plugtron.plugin.options",
    "PathText": "plugtron.plugin.options",
    "Plugin": "plugtron.plugin.discovery",
    "PluginManager": "plugtron.plugin.manager",
    "PluginOptions": "plugtron.plugin.manager",
    "RegisteredComponent": "plugtron.plugin.registry",
    "Probe": "plugtron.plugin.probe",
    "Registry": "plugtron.plugin.registry",
    "RunInfo": "plugtron.plugin.run_info",
    "unmet_needs": "plugtron.plugin.declared_needs",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
