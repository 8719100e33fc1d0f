"""plugtron: language model inference in which every part is a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.lazy import loader

if TYPE_CHECKING:
    from plugtron.assembly import assemble
    from plugtron.component import Component, Kind, Need
    from plugtron.driver import Driver
    from plugtron.errors import PlugtronError, Problem
    from plugtron.hooks import hookimpl
    from plugtron.llm import LLM
    from plugtron.options import Options, Params
    from plugtron.request import InferenceRequest
    from plugtron.sampling_params import SamplingParams
    from plugtron.spec.model import Spec

__all__ = [
    "LLM",
    "Component",
    "Driver",
    "InferenceRequest",
    "Kind",
    "Need",
    "Options",
    "Params",
    "PlugtronError",
    "Problem",
    "SamplingParams",
    "Spec",
    "assemble",
    "hookimpl",
]

#: Where each public name lives. Loaded when first asked for: `import plugtron` costs no torch and no pydantic.
_HOMES = {
    "LLM": "plugtron.llm",
    "Component": "plugtron.component",
    "Driver": "plugtron.driver",
    "InferenceRequest": "plugtron.request",
    "Kind": "plugtron.component",
    "Need": "plugtron.component",
    "Options": "plugtron.options",
    "Params": "plugtron.options",
    "PlugtronError": "plugtron.errors",
    "Problem": "plugtron.errors",
    "SamplingParams": "plugtron.sampling_params",
    "Spec": "plugtron.spec.model",
    "assemble": "plugtron.assembly",
    "hookimpl": "plugtron.hooks",
}


__getattr__ = loader(__name__, _HOMES)
