"""An engine over TensorRT-LLM. This module is what plugtron imports to list it, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
            name="tensorrt_llm",
            target="plugtron_tensorrt_llm.engine:TensorRTEngine",
            options="plugtron_tensorrt_llm.options:TensorRTOptions",
            params="plugtron_tensorrt_llm.options:TensorRTParams",
            precheck="plugtron_tensorrt_llm.precheck:precheck",
            summary="TensorRT-LLM runs the Hugging Face folder",
            needs=frozenset({Need.TOKENIZER}),
            install_hint="pip install tensorrt-llm",
        )
    ]


@hookimpl
def plugtron_check_spec(spec: CheckedSpec) -> Iterable[Problem]:
    """Refuse what TensorRT-LLM cannot do. Parameters and parts that are not used plugtron refuses itself."""
    return list(_problems(spec)) if spec.uses("engine", "tensorrt_llm") else []


def _problems(spec: CheckedSpec) -> Iterator[Problem]:
    for name in ("tensor", "pipeline", "data"):
        if (size := spec.settings["parallel"][name]) > 1:
            text = "TensorRT-LLM starts its own ranks: see engine.options.tensor_parallel and pipeline_parallel"
            yield Problem(f"parallel.{name}", f"{text} (accepted here: 1, got {size})")
    if spec.settings["device"] == "cpu":
        yield Problem("device", "TensorRT-LLM runs on NVIDIA's GPUs (accepted: auto, cuda)")
