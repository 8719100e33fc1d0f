"""The record that a plugin hands over: a name, where its class is, and which options it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from plugtron.utils.lazy import load_target

if TYPE_CHECKING:
    from plugtron.plugin.options import Options, Params

__all__ = ["NEEDS_OF", "Component", "Kind", "Need", "params_model"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Kind(StrEnum):
    """The kinds of parts; one registration hook each."""

    ENGINE = "engine"
    CONTROLLER = "controller"
    WRAPPER = "wrapper"
    SAMPLER = "sampler"
    TOKENIZER = "tokenizer"
    CHECKPOINT = "checkpoint"
    EXECUTION = "execution"
    QUANTIZATION = "quantization"
    ATTENTION = "attention"
    COMMAND = "command"
    PARSER = "parser"
    ROUTES = "routes"


class Need(StrEnum):
    """The parts that assembly builds before a component when the component asks for them."""

    CHECKPOINT = "checkpoint"
    TOKENIZER = "tokenizer"
    WRAPPER = "wrapper"
    SAMPLERS = "samplers"
    CONTROLLER = "controller"


_ALL = frozenset(Need)
#: What is built before a part of each kind, and may be needed by it.
NEEDS_OF: Mapping[Kind, frozenset[Need]] = {
    Kind.ENGINE: _ALL,
    Kind.CONTROLLER: _ALL - {Need.CONTROLLER},
    Kind.SAMPLER: frozenset({Need.CHECKPOINT, Need.TOKENIZER, Need.WRAPPER}),
    Kind.WRAPPER: frozenset({Need.CHECKPOINT, Need.TOKENIZER}),
    Kind.TOKENIZER: frozenset({Need.CHECKPOINT}),
    Kind.EXECUTION: frozenset({Need.CHECKPOINT}),
    Kind.QUANTIZATION: frozenset({Need.CHECKPOINT}),
    Kind.ATTENTION: frozenset({Need.CHECKPOINT}),
    Kind.CHECKPOINT: frozenset(),
    Kind.COMMAND: frozenset(),
    Kind.PARSER: frozenset(),
    Kind.ROUTES: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Component:
    """One part on offer.

    `target` names what makes the part: a class with a class method `assemble(parts, options)`, or a function of the
    same two; it is imported only when a spec uses the component. A checkpoint reader's is a class that takes a path, a
    parser's one that takes tools and a prompt, a command's a click.Command; routes are made of a service and options.
    `options` and `params` are
    pydantic models, or their targets, which keeps pydantic out of listing plugins. `needs` are the parts that must
    exist first, `provides` what `auto` looks for (a wrapper lists "format/Architecture" names). `aliases` are names
    that other software has for the same, in its own spelling. `precheck` is a target as well, a function that says
    without torch what about a model is sure to fail: (ModelDescription, options) to texts.

    Raises:
        ValueError: the name or a target is not well formed, or a need is none.
    """

    name: str
    target: str
    options: type[Options] | str = "plugtron.plugin.options:Options"
    params: type[Params] | str | None = None
    summary: str = ""
    needs: frozenset[Need] = frozenset()
    provides: frozenset[str] = frozenset()
    install_hint: str = ""
    aliases: tuple[str, ...] = ()
    precheck: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"component name {self.name!r}: accepted are lower-case letters, digits and _")
        for alias in self.aliases:
            if not alias.isidentifier():
                raise ValueError(f"component {self.name!r}: alias {alias!r} is no word of letters, digits and _")
        for target in (self.target, self.options, self.params, self.precheck):
            if isinstance(target, str) and not _TARGET.fullmatch(target):
                raise ValueError(f"component {self.name!r}: target {target!r} is not 'package.module:name'")

        unknown = sorted(set(self.needs) - set(Need))
        if unknown:
            accepted = ", ".join(Need)
            raise ValueError(f"component {self.name!r}: needs {', '.join(map(repr, unknown))} (accepted: {accepted})")
        if isinstance(self.provides, str):
            raise ValueError(f"component {self.name!r}: provides is a text, and must be a set of them")

    def options_model(self) -> type[Options]:
        """The model of the options."""
        return load_target(self.options) if isinstance(self.options, str) else self.options


def params_model(params: type[Params] | str | None) -> type[Params] | None:
    """The model of per-request parameters that a component or its class names; None when it takes none.

    Raises:
        ValueError: a parameter has no default, so that no request could leave it out.
    """
    model = load_target(params) if isinstance(params, str) else params
    for name, field in (model.model_fields if model else {}).items():
        if field.is_required():
            raise ValueError(f"parameter {name!r} must have a default (None: not asked)")
    return model
