"""Which dtype a model runs in when the spec says `auto`. Torch-free."""

from __future__ import annotations

from plugtron.contracts.checkpoint import ModelDescription

__all__ = ["choose_dtype"]


def choose_dtype(asked: str, model: ModelDescription, *, on_gpu: bool) -> str:
    """Return "float32", "bfloat16" or "float16": what is asked; for `auto` what the checkpoint was trained in.

    Quantized files run in bfloat16. float16, which CPUs are slow at, becomes float32 there.
    """
    if asked != "auto":
        return asked
    configuration = model.configuration
    named = (configuration.get(field) for field in ("dtype", "torch_dtype", "params_dtype"))
    stored = str(next((name for name in named if name), "")).removeprefix("torch.")
    if model.format == "gguf":
        stored = "float32" if configuration.get("general.file_type") == 0 else "bfloat16"
    if stored == "float16" and not on_gpu:
        return "float32"
    return stored if stored in ("float32", "bfloat16", "float16") else "float32"
