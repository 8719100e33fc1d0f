"""plugtron: language model inference in which every part is a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugtron.assembly import assemble
    from plugtron.component import Component, Kind, Need, Options, Params
    from plugtron.errors import PlugtronError, Problem
    from plugtron.hooks import hookimpl
    from plugtron.llm import LLM
    from plugtron.sampling_params import SamplingParams
    from plugtron.spec.model import Spec

__all__ = [
    "LLM",
    "Component",
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
    "Kind": "plugtron.component",
    "Need": "plugtron.component",
    "Options": "plugtron.component",
    "Params": "plugtron.component",
    "PlugtronError": "plugtron.errors",
    "Problem": "plugtron.errors",
    "SamplingParams": "plugtron.sampling_params",
    "Spec": "plugtron.spec.model",
    "assemble": "plugtron.assembly",
    "hookimpl": "plugtron.hooks",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("plugtron")
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'plugtron' has no attribute {name!r}")
