"""The record that a plugin hands over: a name, where its class is, and which options it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

__all__ = ["Component", "Kind", "Need", "Options", "Params"]

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


class Need(StrEnum):
    """The parts that assembly builds before a component when the component asks for them."""

    CHECKPOINT = "checkpoint"
    TOKENIZER = "tokenizer"
    WRAPPER = "wrapper"
    SAMPLERS = "samplers"
    CONTROLLER = "controller"


class Options(BaseModel):
    """Base of a component's options: they belong to the run and stand under `options` in the spec.

    The module of a subclass must import without torch, because specs are checked without it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class Params(BaseModel):
    """Base of a sampler's parameters: they belong to a request. Every field defaults to None, "not asked for"."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part on offer.

    `target` ("package.module:Class") is imported only when a spec uses the component. `needs` are the parts that
    must exist first, `provides` what `auto` looks for (a wrapper lists "format/Architecture" names).

    Raises:
        ValueError: the name or the target is not well formed, or a parameter has no default.
    """

    name: str
    target: str
    options: type[Options] = Options
    params: type[Params] | None = None
    summary: str = ""
    needs: frozenset[Need] = frozenset()
    provides: frozenset[str] = frozenset()
    install_hint: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"component name {self.name!r}: accepted are lower-case letters, digits and _")
        if not _TARGET.fullmatch(self.target):
            raise ValueError(f"component {self.name!r}: target {self.target!r} is not 'package.module:Class'")
        for name, field in (self.params.model_fields if self.params else {}).items():
            if field.is_required():
                raise ValueError(f"component {self.name!r}: parameter {name!r} must have a default (None: not asked)")
