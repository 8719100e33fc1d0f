"""Options and steps that several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from plugtron.errors import suggestion
from plugtron.plugin.manager import PluginManager

__all__ = [
    "DEFAULT_MODEL",
    "make_manager",
    "plugin_options",
    "set_option",
    "spec_argument",
    "stats_option",
    "verbose_option",
]

DEFAULT_MODEL = "smollm2-135m-instruct"

Function = TypeVar("Function", bound=Callable[..., Any])


def plugin_options(function: Function) -> Function:
    """Add --no-plugins and --no-plugin."""
    function = click.option("--no-plugins", is_flag=True, help="Import built-in plugins only.")(function)
    return click.option("--no-plugin", multiple=True, metavar="NAME", help="Do not import this plugin.")(function)


def set_option(function: Function) -> Function:
    """Add --set."""
    return click.option(
        "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Replace one value of the spec."
    )(function)


def stats_option(function: Function) -> Function:
    """Add --stats."""
    return click.option("--stats", is_flag=True, help="Print how long requests waited and took.")(function)


def verbose_option(function: Function) -> Function:
    """Add -v. `main` looks for it itself, because an error may come before options are parsed."""
    return click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show tracebacks.")(function)


def make_manager(no_plugins: bool, no_plugin: Sequence[str], disable: Sequence[str] = ()) -> PluginManager:
    """Discover plugins; say of those that are broken that they are, and go on."""
    manager = PluginManager(disable=[*no_plugin, *disable], builtins_only=no_plugins)
    for plugin in manager.failed():
        click.echo(f"warning: {plugin.complaint()}", err=True)
    installed = {name for plugin in manager.plugins for name in (plugin.name, plugin.distribution)}
    for name in (*no_plugin, *disable):
        if name not in installed:
            hint = suggestion(name, sorted(installed))
            click.echo(f"warning: no plugin {name!r} is installed, so none is disabled.{hint}", err=True)
    return manager


def spec_argument(function: Function) -> Function:
    """Add the SPEC argument."""
    return click.argument("spec", type=click.Path(path_type=Path))(function)
