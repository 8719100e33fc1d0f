"""What is sure to fail, said by `plugtron check`; without TensorRT-LLM."""

from __future__ import annotations

from plugtron import Options
from plugtron.contracts import ModelDescription

__all__ = ["precheck"]


def precheck(model: ModelDescription, options: Options) -> list[str]:
    """Say why a model cannot be run."""
    del options
    if model.format == "huggingface":
        return []
    return [f"TensorRT-LLM reads Hugging Face folders, and {model.path} is {model.format}"]
