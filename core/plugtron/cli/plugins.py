"""plugtron plugins"""

from __future__ import annotations

import json
from typing import Any

import click

from plugtron.cli.common import plugin_options, verbose_option
from plugtron.errors import SpecError, suggestion
from plugtron.plugin.discovery import Plugin
from plugtron.plugin.manager import PluginManager

__all__ = ["plugins"]


@click.command()
@click.argument("action", type=click.Choice(["list", "show"]), default="list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@plugin_options
@verbose_option
def plugins(action: str, name: str | None, as_json: bool, no_plugins: bool, no_plugin: tuple[str, ...]) -> None:
    """List plugins with their state, or `show NAME`: hooks, components, and the whole traceback of one that failed."""
    manager = PluginManager(disable=no_plugin, builtins_only=no_plugins)
    if action == "show":
        found = _find(manager, name)
        click.echo(json.dumps([_record(plugin) for plugin in found], indent=2) if as_json else _pages(found))
    elif as_json:
        click.echo(json.dumps([_record(plugin) for plugin in manager.plugins], indent=2))
    else:
        _table(manager)


def _find(manager: PluginManager, name: str | None) -> list[Plugin]:
    names = sorted({plugin.name for plugin in manager.plugins})
    if name is None:
        raise click.UsageError(f"plugins show needs a name: {', '.join(names)}")
    found = [plugin for plugin in manager.plugins if name in (plugin.name, plugin.distribution)]
    if not found:
        raise SpecError(f"no plugin {name!r} (installed: {', '.join(names)}).{suggestion(name, names)}")
    return found


def _table(manager: PluginManager) -> None:
    rows = [(plugin.name, plugin.state, f"{plugin.distribution} {plugin.version}") for plugin in manager.plugins]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row, plugin in zip(rows, manager.plugins, strict=True):
        what = plugin.failure.error if plugin.failure else ", ".join(offer.name for offer in plugin.offers)
        line = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo(f"{line}  {what}".rstrip())


def _pages(found: list[Plugin]) -> str:
    return "\n\n".join("\n".join(_page(plugin)) for plugin in found)


def _page(plugin: Plugin) -> list[str]:
    lines = [
        f"name:          {plugin.name}",
        f"distribution:  {plugin.distribution} {plugin.version}",
        f"state:         {plugin.state}",
        f"file:          {plugin.file or '-'}",
        f"hooks:         {', '.join(plugin.hooks) or '-'}",
    ]
    lines += [f"offers:        {offer.kind} {offer.name}: {offer.component.summary}" for offer in plugin.offers]
    if plugin.failure:
        lines += [f"failed at:     {plugin.failure.stage}: {plugin.failure.error}", "", plugin.failure.traceback]
    return lines


def _record(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": plugin.state,
        "file": plugin.file,
        "hooks": list(plugin.hooks),
        "components": [{"kind": offer.kind.value, "name": offer.name} for offer in plugin.offers],
        "failure": None
        if plugin.failure is None
        else {
            "stage": plugin.failure.stage,
            "error": plugin.failure.error,
            "traceback": plugin.failure.traceback,
        },
    }
