"""How much memory KV takes, and whether it is there."""

from __future__ import annotations

import os

import torch

from plugtron.contracts.wrapper import ModelInfo
from plugtron.errors import SpecError

__all__ = ["available_tokens", "bytes_per_token", "check_memory"]


def check_memory(info: ModelInfo, *, tokens: int, dtype: torch.dtype, device: torch.device, remedy: str) -> None:
    """Refuse to hold `tokens` tokens when they can never fit.

    Raises:
        SpecError: with the numbers and the `remedy`.
    """
    wanted, there = bytes_per_token(info, dtype) * tokens, _memory(device)
    if wanted > there:
        raise SpecError(
            f"keys and values of {tokens} tokens take {wanted / 2**30:.1f} GiB, and {device.type} memory is "
            f"{there / 2**30:.1f} GiB: {remedy}"
        )


def available_tokens(info: ModelInfo, *, dtype: torch.dtype, device: torch.device) -> int:
    """How many tokens' keys and values the memory that is free now could hold."""
    return _free_memory(device) // bytes_per_token(info, dtype)


def bytes_per_token(info: ModelInfo, dtype: torch.dtype) -> int:
    """What a token's keys and values take in this rank's layers."""
    return sum(2 * state.kv_heads * state.head_dim for state in info.states) * dtype.itemsize


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return _free_on(device)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return _free_on(device)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free_on(device: torch.device) -> int:
    """What is left of a GPU, what torch keeps for its next tensors included."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept
