"""Options and steps that several verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from plugtron.cli.stdout import kept_stdout
from plugtron.errors import PluginError, suggestion
from plugtron.plugin.manager import PluginManager

__all__ = [
    "DEFAULT_MODEL",
    "PluginChoice",
    "find_plugins",
    "make_manager",
    "plugin_options",
    "sampling_options",
    "set_option",
    "spec_argument",
    "stats_option",
    "verbose_option",
]

DEFAULT_MODEL = "smollm2-135m-instruct"

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginChoice:
    """Which plugins the command line asks for: of the installed ones, and files beside them."""

    builtins_only: bool = False
    disabled: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def plugin_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --plugin, --no-plugins and --no-plugin; the function gets them as one `choice`."""

    @functools.wraps(function)
    def call(*, plugin_files: tuple[Path, ...], no_plugins: bool, no_plugin: tuple[str, ...], **others: Any) -> Any:
        choice = PluginChoice(builtins_only=no_plugins, disabled=no_plugin, files=plugin_files)
        return function(choice=choice, **others)

    for option in (
        click.option("--no-plugins", is_flag=True, help="Import built-in plugins only."),
        click.option("--no-plugin", multiple=True, metavar="NAME", help="Do not import this plugin."),
        click.option(
            "--plugin",
            "plugin_files",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="A file of Python that is a plugin, without being installed.",
        ),
    ):
        call = option(call)
    return call


def sampling_options(function: Function) -> Function:
    """Add options for the sampling parameters that are asked for most; they are None where they are not given."""
    for option in (
        click.option("--seed", type=int, help="The same seed draws the same answer."),
        click.option("--top-p", type=float, help="Draw from the most likely that reach this probability."),
        click.option("--top-k", type=int, help="Draw from the k most likely."),
        click.option(
            "--temperature", type=float, help="0 takes the most likely token; by default 1, the model's own chances."
        ),
    ):
        function = option(function)
    return function


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


def find_plugins(choice: PluginChoice, disable: Sequence[str] = ()) -> PluginManager:
    """Discover plugins; what they print goes to standard error, however they print it."""
    disabled = [*choice.disabled, *disable]
    with kept_stdout():
        return PluginManager(disable=disabled, builtins_only=choice.builtins_only, files=choice.files)


def make_manager(choice: PluginChoice, disable: Sequence[str] = ()) -> PluginManager:
    """Discover plugins; say of those that are broken that they are, and go on.

    Raises:
        PluginError: a file that was asked for is broken.
    """
    manager = find_plugins(choice, disable)
    for plugin in manager.failed():
        if plugin.distribution in {file.name for file in choice.files}:
            raise PluginError(plugin.complaint())
        click.echo(f"warning: {plugin.complaint()}", err=True)
    installed = {name for plugin in manager.plugins for name in (plugin.name, plugin.distribution)}
    for name in (*choice.disabled, *disable):
        if name not in installed:
            hint = suggestion(name, sorted(installed))
            click.echo(f"warning: no plugin {name!r} is installed, so none is disabled.{hint}", err=True)
    return manager


def spec_argument(function: Function) -> Function:
    """Add the SPEC argument."""
    return click.argument("spec", type=click.Path(path_type=Path))(function)
