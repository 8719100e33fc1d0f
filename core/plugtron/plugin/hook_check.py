"""Whether a plugin's functions are hooks, and whether they can be called: before any of them is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from inspect import Parameter
from typing import Any

import pluggy

from plugtron.errors import suggestion
from plugtron.plugin import hookspecs

__all__ = ["check_hooks"]

_NO_PLAIN = {
    Parameter.KEYWORD_ONLY: "is keyword-only",
    Parameter.VAR_POSITIONAL: "takes any number of arguments",
    Parameter.VAR_KEYWORD: "takes any keywords",
}


def check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Look at the functions of a plugin that are marked, and at those that should be.

    Raises:
        RuntimeError: none is marked, one is named like a hook and is not, or is no hook's.
        TypeError: one takes what its hook does not pass.
    """
    known = {name: value for name, value in vars(hookspecs).items() if name.startswith(f"{hookspecs.PROJECT}_")}
    implemented = dict(_implemented(manager, plugin))
    unmarked = [name for name in known if name not in implemented and inspect.isroutine(getattr(plugin, name, None))]
    if unmarked:
        raise RuntimeError(f"{', '.join(unmarked)} is not marked: put @plugtron.hookimpl before it")
    if not implemented:
        raise RuntimeError("implements no hook: mark its functions with @plugtron.hookimpl")
    for name, function in implemented.items():
        if name not in known:
            raise RuntimeError(f"unknown hook {name!r} (known: {', '.join(known)}).{suggestion(name, list(known))}")
        _check_signature(name, function, list(inspect.signature(known[name]).parameters))


def _implemented(manager: pluggy.PluginManager, plugin: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is not None:
            yield options.get("specname") or name, getattr(plugin, name)


def _check_signature(name: str, function: Callable[..., Any], passed: list[str]) -> None:
    """pluggy passes arguments by name, and none that has a default, which would win without a word."""
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{name} is a coroutine function, which nobody awaits: make it a plain one")
    accepted = f"accepted: {', '.join(passed)}" if passed else "it takes none"
    for parameter in inspect.signature(function).parameters.values():
        wrong = _NO_PLAIN.get(parameter.kind)
        if wrong is None and parameter.name not in passed:
            wrong = "is none that the hook passes"
        if wrong is None and parameter.default is not Parameter.empty:
            wrong = "has a default, and would never be passed: leave the default out"
        if wrong is not None:
            hint = suggestion(parameter.name, passed)
            raise TypeError(f"{name}: argument {parameter.name!r} {wrong} ({accepted}).{hint}")
