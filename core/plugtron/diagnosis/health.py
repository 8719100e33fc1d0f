"""How the plugins of this environment are: those that failed, and names that several offer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from plugtron.diagnosis.line import Line
from plugtron.plugin.api_version import API_VERSION
from plugtron.plugin.component import Kind
from plugtron.plugin.discovery import Plugin
from plugtron.plugin.manager import PluginManager
from plugtron.plugin.registry import own

__all__ = ["plugin_lines"]


def plugin_lines(manager: PluginManager) -> Iterator[Line]:
    """A line for each plugin, and for each name that is offered by several distributions."""
    for plugin in manager.plugins:
        yield _line(plugin)
    yield from _clashes(manager)


def _line(plugin: Plugin) -> Line:
    topic = f"plugin {plugin.title}"
    if plugin.failure is not None:
        text = f"failed at {plugin.failure.stage}: {plugin.failure.error}"
        remedy = f"plugtron plugins show {plugin.name} -v; mend it, or pip uninstall {plugin.distribution}"
        return Line(status="fail", topic=topic, text=text, remedy=remedy)
    api = f"API {'any' if plugin.api is None else plugin.api} (offered: {API_VERSION})"
    parts = f"{len(plugin.offers)} components, {api}" if plugin.state == "active" else plugin.state
    return Line(status="ok", topic=topic, text=parts)


def _clashes(manager: PluginManager) -> Iterator[Line]:
    offers = defaultdict(list)
    for offer in manager.registry.offers():
        offers[offer.kind, offer.name].append(offer)
    for (kind, name), several in offers.items():
        # A bare name that plugtron itself offers is plugtron's; nobody has to choose.
        if len(several) > 1 and not own(several):
            names = " or ".join(repr(offer.qualified) for offer in several)
            remedy = f"pip uninstall one of them; a spec has to write {names}"
            if kind is Kind.COMMAND:
                remedy = "pip uninstall one of them"
            text = f"is offered by {', '.join(offer.distribution for offer in several)}"
            yield Line(status="warn", topic=f"{kind} {name!r}", text=text, remedy=remedy)
