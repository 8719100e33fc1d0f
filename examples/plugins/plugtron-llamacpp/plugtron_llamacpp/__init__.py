"""An engine over llama.cpp. This module is what plugtron imports to list it, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plugtron import Component, Need, Problem, hookimpl
from plugtron.plugin import CheckedSpec

__all__ = ["PLUGTRON_API", "plugtron_check_spec", "plugtron_engines"]

#: The plugin API that this package was written for.
PLUGTRON_API = 1


@hookimpl
def plugtron_engines() -> list[Component]:
    """One engine. It brings its own model: all that it needs of plugtron's parts is a tokenizer."""
    return [
        Component(
            name="llamacpp",
            target="plugtron_llamacpp.engine:LlamaCppEngine",
            options="plugtron_llamacpp.options:LlamaCppOptions",
            params="plugtron_llamacpp.options:LlamaCppParams",
            precheck="plugtron_llamacpp.precheck:precheck",
            summary="llama.cpp runs the GGUF file",
            needs=frozenset({Need.TOKENIZER}),
            install_hint="pip install xllamacpp",
        )
    ]


@hookimpl
def plugtron_check_spec(spec: CheckedSpec) -> Iterable[Problem]:
    """Refuse what llama.cpp cannot do. Parameters and parts that are not used plugtron refuses itself."""
    return list(_problems(spec)) if spec.uses("engine", "llamacpp") else []


def _problems(spec: CheckedSpec) -> Iterator[Problem]:
    for name in ("tensor", "pipeline", "data"):
        if (size := spec.settings["parallel"][name]) > 1:
            yield Problem(f"parallel.{name}", f"the engine llamacpp runs in one process (accepted: 1, got {size})")
    if spec.settings["model"]["dtype"] != "auto":
        yield Problem("model.dtype", "llama.cpp takes weights as the file has them (accepted: auto)")
    for place, sampling in _sampling(spec):
        if sampling.get("logprobs_mode") == "processed":
            yield Problem(f"{place}.logprobs_mode", "the engine llamacpp has raw ones only (accepted: raw)")
    if spec.settings["device"] == "cuda":
        yield Problem("device", "which device llama.cpp runs on is its wheel's to say: see engine.options.gpu_layers")


def _sampling(spec: CheckedSpec) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The parameters of the whole spec, and those of its prompts."""
    yield "sampling", spec.settings["sampling"]
    prompts = spec.settings["prompts"]
    for index, prompt in enumerate(prompts if isinstance(prompts, list) else []):
        if isinstance(prompt, Mapping):
            yield f"prompts.{index}.sampling", prompt.get("sampling") or {}
