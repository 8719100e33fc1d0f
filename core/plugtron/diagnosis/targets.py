"""Checks of what a component's target names: is it of its kind, and can assembly call it?"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from plugtron.contracts.kinds import contract_of
from plugtron.diagnosis.finding import Findings
from plugtron.plugin.component import NEEDS_OF, Component, Kind, Need

__all__ = ["check_precheck", "check_target"]

#: Kinds whose targets are classes, and what they are made of instead of parts and options.
_MADE_OF: Mapping[Kind, tuple[int, str]] = {
    Kind.CHECKPOINT: (1, "one argument, a path"),
    Kind.PARSER: (2, "two arguments, tools and a prompt"),
}


def check_target(kind: Kind, component: Component, target: Any) -> Findings:
    """Whether assembly can make a part of it."""
    contract, name = contract_of(kind)
    where = f"target {component.target}"
    if kind is Kind.COMMAND:
        if not isinstance(target, contract):
            yield "error", f"{where} is a {type(target).__name__}, and must be a {name}"
        return
    if isinstance(target, type):
        if not issubclass(target, contract):
            yield "error", f"{where} is no subclass of {name}"
        if missing := sorted(getattr(target, "__abstractmethods__", ())):
            yield "error", f"{where} is abstract: it does not define {', '.join(missing)}"
    elif kind in _MADE_OF or not callable(target):
        accepted = f"a subclass of {name}{'' if kind in _MADE_OF else ', or a function of (parts, options)'}"
        yield "error", f"{where} is a {type(target).__name__} (accepted: {accepted})"
        return
    if kind in _MADE_OF:
        count, what = _MADE_OF[kind]
        if not _takes(target, count):
            yield "error", f"{where} must take {what} (it takes {_signature(target)})"
        return
    yield from _check_factory(kind, where, target, component)


def _check_factory(kind: Kind, where: str, target: Any, component: Component) -> Findings:
    first = "service" if kind is Kind.ROUTES else "parts"
    factory = getattr(target, "assemble", None)
    if factory is None and isinstance(target, type):
        yield "error", f"{where} has no class method assemble({first}, options)"
        return
    factory = target if factory is None else factory
    if not _takes(factory, 2):
        what = "assemble must be a class method of" if isinstance(target, type) else "it must be a function of"
        yield "error", f"{where}: {what} ({first}, options) (it takes {_signature(factory)})"
        return
    for need in sorted((_looked_at(factory) & NEEDS_OF[kind]) - set(component.needs)):
        yield (
            "warning",
            f"{where} looks at parts.{need}, and the component does not need it: needs={{Need.{need.upper()}}}",
        )


def check_precheck(component: Component, precheck: Any) -> Findings:
    """Whether a precheck can be called with a model's description and options."""
    if not callable(precheck) or not _takes(precheck, 2):
        taken = f"it takes {_signature(precheck)}" if callable(precheck) else f"it is a {type(precheck).__name__}"
        yield "error", f"precheck {component.precheck} must be a function of (model, options) ({taken})"


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # of C code, which has no signature
        return True
    return True


def _signature(function: Callable[..., Any]) -> str:
    return str(inspect.signature(function))


def _looked_at(factory: Callable[..., Any]) -> set[Need]:
    """The parts that a factory reads, as its source says it: parts.NAME; nothing where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(factory)))
    except (OSError, TypeError, SyntaxError):
        return set()
    first = next(iter(inspect.signature(factory).parameters))
    names = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == first
    }
    return {need for need in Need if need.value in names}
