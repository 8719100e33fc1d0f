"""Looking at one plugin from inside: what runs in the processes that `plugin_check` starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plugtron.diagnosis.finding import Findings, Level
from plugtron.diagnosis.models import check_options, check_params, check_plugin_options
from plugtron.diagnosis.part import Part
from plugtron.diagnosis.targets import check_precheck, check_target
from plugtron.plugin.candidate import Candidate, find
from plugtron.plugin.component import Component, Kind
from plugtron.plugin.discovery import Plugin
from plugtron.plugin.manager import PluginManager
from plugtron.plugin.parameters import shared_parameters
from plugtron.plugin.registry import OWN_DISTRIBUTION, WITH_PARAMS, RegisteredComponent, own
from plugtron.utils.lazy import load_target

__all__ = ["import_plugin", "inspect_component", "inspect_plugin"]


def import_plugin(distribution: str, name: str, files: Sequence[str]) -> None:
    """Import a plugin's module, and do nothing with it; whatever it raises is raised."""
    for candidate in (*find(), *(Candidate.from_file(Path(file)) for file in files)):
        if (candidate.distribution, candidate.name) == (distribution, name):
            candidate.load()


def inspect_plugin(distribution: str, name: str, files: Sequence[str]) -> dict[str, Any]:
    """Load one plugin; say how that went, and which components it offers."""
    plugin = _plugin(_manager(distribution, files), distribution, name)
    return {
        "error": f"{plugin.failure.stage}: {plugin.failure.error}" if plugin.failure else None,
        "findings": [] if plugin.options is None else list(check_plugin_options(plugin.options)),
        "parts": [asdict(Part.of(offer.kind, offer.component)) for offer in plugin.offers],
    }


def inspect_component(
    distribution: str, name: str, files: Sequence[str], kind: str, component: str
) -> list[tuple[Level, str]]:
    """Look at one component of a plugin: (level, message) each."""
    manager = _manager(distribution, files)
    offers = _plugin(manager, distribution, name).offers
    offer = next(each for each in offers if (each.kind, each.name) == (kind, component))
    found = list(_inspect(offer.kind, offer.component))
    return found if found else list(_repeated(offer, manager))


def _repeated(offer: RegisteredComponent, manager: PluginManager) -> Findings:
    """Parameters that plugtron's own parts use: in one run with them each would be used twice."""
    if offer.distribution == OWN_DISTRIBUTION or offer.kind not in WITH_PARAMS:
        return
    for kind in WITH_PARAMS:
        for first in own(manager.registry.offers(kind)):
            for _, _, name in shared_parameters([first, offer]):
                text = f"params: {name!r} is a parameter of {first.title}, too: no run can have both"
                yield "warning", f"{text}; choose another name, unless this is meant to take its place"


def _inspect(kind: Kind, component: Component) -> Findings:
    yield from check_options(component)
    target, problems = _import("target", component.target, component.install_hint)
    yield from problems
    yield from check_params(kind, component, target)
    if not problems:
        yield from check_target(kind, component, target)
    if component.precheck is not None:
        precheck, problems = _import("precheck", component.precheck, "")
        yield from problems
        if not problems:
            yield from check_precheck(component, precheck)


def _import(what: str, target: str, hint: str) -> tuple[Any, list[Any]]:
    """Import a target; or say why not. What is not installed, and whose component says how to get it, is no mistake."""
    try:
        return load_target(target), []
    except BaseException as error:  # sys.exit() in a module, too, is what is to be reported
        level = "warning" if hint and isinstance(error, ModuleNotFoundError) else "error"
        return None, [(level, f"{what} {target}: {type(error).__name__}: {error}{f'; {hint}' if hint else ''}")]


def _manager(distribution: str, files: Sequence[str]) -> PluginManager:
    """This plugin, and plugtron's own."""
    others = {each.distribution for each in find()} - {OWN_DISTRIBUTION, distribution}
    return PluginManager(disable=others, files=files, strict=False)


def _plugin(manager: PluginManager, distribution: str, name: str) -> Plugin:
    return next(plugin for plugin in manager.plugins if (plugin.distribution, plugin.name) == (distribution, name))
