"""Spec files: read, checked against the plugins, written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.plugin.registry import RegisteredComponent
    from plugtron.spec.load import Place, Source
    from plugtron.spec.model import (
        ChatMessage,
        ModelSpec,
        OutputSpec,
        ParallelSpec,
        PluginsSpec,
        PromptFile,
        Prompts,
        PromptSpec,
        Spec,
    )
    from plugtron.spec.resolution import resolve, spec_of
    from plugtron.spec.resolved import ResolvedComponent, ResolvedSpec
    from plugtron.spec.section import ComponentRef, Section
    from plugtron.spec.serve import ServeSpec

__all__ = [
    "ChatMessage",
    "ComponentRef",
    "ModelSpec",
    "OutputSpec",
    "ParallelSpec",
    "Place",
    "PluginsSpec",
    "PromptFile",
    "PromptSpec",
    "Prompts",
    "RegisteredComponent",
    "ResolvedComponent",
    "ResolvedSpec",
    "Section",
    "ServeSpec",
    "Source",
    "Spec",
    "resolve",
    "spec_of",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "ChatMessage": "plugtron.spec.model",
    "ComponentRef": "plugtron.spec.section",
    "ModelSpec": "plugtron.spec.model",
    "OutputSpec": "plugtron.spec.model",
    "ParallelSpec": "plugtron.spec.model",
    "Place": "plugtron.spec.load",
    "PluginsSpec": "plugtron.spec.model",
    "PromptFile": "plugtron.spec.model",
    "PromptSpec": "plugtron.spec.model",
    "Prompts": "plugtron.spec.model",
    "RegisteredComponent": "plugtron.plugin.registry",
    "ResolvedComponent": "plugtron.spec.resolved",
    "ResolvedSpec": "plugtron.spec.resolved",
    "Section": "plugtron.spec.section",
    "ServeSpec": "plugtron.spec.serve",
    "Source": "plugtron.spec.load",
    "Spec": "plugtron.spec.model",
    "resolve": "plugtron.spec.resolution",
    "spec_of": "plugtron.spec.resolution",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
