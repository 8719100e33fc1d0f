"""Which dtype a model runs in on this machine."""

from __future__ import annotations

import torch

from plugtron.assembly import stored_dtype
from plugtron.contracts.checkpoint import ModelDescription

__all__ = ["choose_dtype"]


def choose_dtype(asked: str, model: ModelDescription, device: str) -> str:
    """Return what plugtron.assembly.stored_dtype does, for the device that a spec names ("auto", "cpu", "cuda")."""
    return stored_dtype.choose_dtype(asked, model, on_gpu=device != "cpu" and torch.cuda.is_available())
