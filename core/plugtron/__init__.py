"""plugtron: language model inference in which every part is a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.assembly.session import Session
    from plugtron.assembly.start import assemble
    from plugtron.engine.async_engine import AsyncEngine
    from plugtron.errors import PlugtronError, Problem
    from plugtron.llm import LLM
    from plugtron.plugin.component import Component, Kind, Need
    from plugtron.plugin.hookspecs import hookimpl
    from plugtron.plugin.manager import PluginManager
    from plugtron.plugin.options import Options, Params, PathText
    from plugtron.plugin.standard_params import standard_params
    from plugtron.request.request import InferenceRequest
    from plugtron.request.sampling_params import SamplingParams
    from plugtron.spec.model import Spec
    from plugtron.spec.resolution import spec_of

__all__ = [
    "LLM",
    "AsyncEngine",
    "Component",
    "InferenceRequest",
    "Kind",
    "Need",
    "Options",
    "Params",
    "PathText",
    "PluginManager",
    "PlugtronError",
    "Problem",
    "SamplingParams",
    "Session",
    "Spec",
    "assemble",
    "hookimpl",
    "spec_of",
    "standard_params",
]

#: Where each public name lives. Loaded when first asked for: `import plugtron` costs no torch and no pydantic.
_HOMES = {
    "LLM": "plugtron.llm",
    "Component": "plugtron.plugin.component",
    "AsyncEngine": "plugtron.engine.async_engine",
    "InferenceRequest": "plugtron.request.request",
    "Kind": "plugtron.plugin.component",
    "Need": "plugtron.plugin.component",
    "Options": "plugtron.plugin.options",
    "Params": "plugtron.plugin.options",
    "PathText": "plugtron.plugin.options",
    "PlugtronError": "plugtron.errors",
    "Problem": "plugtron.errors",
    "SamplingParams": "plugtron.request.sampling_params",
    "PluginManager": "plugtron.plugin.manager",
    "Session": "plugtron.assembly.session",
    "Spec": "plugtron.spec.model",
    "assemble": "plugtron.assembly.start",
    "hookimpl": "plugtron.plugin.hookspecs",
    "spec_of": "plugtron.spec.resolution",
    "standard_params": "plugtron.plugin.standard_params",
}


if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
