"""How much memory KV takes, and whether it is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from plugtron.contracts.decoder import ModelInfo
from plugtron.errors import SpecError
from plugtron.utils.host_memory import host_memory

__all__ = ["bytes_per_token", "check_memory", "explain_out_of_memory", "free_memory"]


def check_memory(info: ModelInfo, *, tokens: int, device: torch.device, remedy: str) -> None:
    """Refuse to hold `tokens` tokens when they can never fit.

    Raises:
        SpecError: with the numbers and the `remedy`.
    """
    # On a CPU what others use now may be free later; pages are taken when they are first written.
    wanted = bytes_per_token(info) * tokens
    there = free_memory(device) if device.type == "cuda" else _memory(device)
    if wanted > there:
        small = all(state.dtype.itemsize == 1 for state in info.states)
        smaller = "" if small else f", or set model.kv_dtype: {_kv_dtype(device)}"
        raise SpecError(
            f"keys and values of {tokens} tokens take {wanted / 2**30:.1f} GiB, and {device.type} memory is "
            f"{there / 2**30:.1f} GiB: {remedy}{smaller}"
        )


def bytes_per_token(info: ModelInfo) -> int:
    """What a token's keys and values take in this rank's layers."""
    return sum(state.bytes_per_token for state in info.states)


@contextmanager
def explain_out_of_memory(what: str, device: torch.device) -> Iterator[None]:
    """Say what found no room on a device, how much there is, and what takes less.

    Raises:
        SpecError: in place of torch's own error.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise SpecError(
            f"{what} found no room on {device}, of whose {_memory(device) / 2**30:.1f} GiB "
            f"{free_memory(device) / 2**30:.1f} are free: lower engine.options.kv_cache_memory, max_batch_size or "
            f"max_step_tokens, set model.quantization or model.kv_dtype: {_kv_dtype(device)}, or raise parallel.tensor "
            f"({str(error).splitlines()[0]})"
        ) from error


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device now, what torch keeps for its next tensors included where that can be had."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    return host_memory().available


def _kv_dtype(device: torch.device) -> str:
    """The type of keys and values in 8 bits that runs fast on a device."""
    return "fp8" if device.type == "cuda" else "int8"


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return host_memory().total
