"""What is sure to fail, said by `plugtron check`; without torch, and without llama.cpp."""

from __future__ import annotations

from plugtron import Options
from plugtron.contracts import ModelDescription

__all__ = ["precheck"]


def precheck(model: ModelDescription, options: Options) -> list[str]:
    """Say why a model cannot be run."""
    del options
    if model.format != "gguf":
        return [f"llama.cpp reads GGUF files, and {model.path} is {model.format}"]
    if model.tokenizer is None:
        return [f"{model.path} has no tokenizer, without which llama.cpp runs no file"]
    return []
