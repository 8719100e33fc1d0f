"""Kernels for CPUs and GPUs, and the torch reference beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.kernels.attention import TorchAttention
    from plugtron.kernels.chain import ChainKernels, PreparedStage
    from plugtron.kernels.philox import gumbel, uniform
    from plugtron.kernels.sampling import SamplingChoice, SamplingKernels, on_one_thread

__all__ = [
    "ChainKernels",
    "PreparedStage",
    "SamplingChoice",
    "SamplingKernels",
    "TorchAttention",
    "gumbel",
    "on_one_thread",
    "uniform",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "ChainKernels": "plugtron.kernels.chain",
    "PreparedStage": "plugtron.kernels.chain",
    "SamplingChoice": "plugtron.kernels.sampling",
    "SamplingKernels": "plugtron.kernels.sampling",
    "TorchAttention": "plugtron.kernels.attention",
    "gumbel": "plugtron.kernels.philox",
    "on_one_thread": "plugtron.kernels.sampling",
    "uniform": "plugtron.kernels.philox",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
