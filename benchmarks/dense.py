"""The default model as a Hugging Face folder: transformers would compute with a GGUF file's packed weights, slowly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForCausalLM

__all__ = ["transformers_model"]


def transformers_model(model: str, dtype: str) -> Any:
    """Load the model in transformers, dense weights in `dtype`."""
    with TemporaryDirectory() as place:
        folder = Path(place) / "model"
        subprocess.run([sys.executable, "-m", "plugtron", "convert", model, folder], check=True, capture_output=True)
        return AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
