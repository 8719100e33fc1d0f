"""Checking what a stage of the chain returns, cheaply: its author should hear of it, not the next stage."""

from __future__ import annotations

import torch

from plugtron.contracts import Candidates, Sampler

__all__ = ["SamplerFailed", "checked", "name_of"]


def name_of(sampler: Sampler) -> str:
    """A stage by its module and class, as messages name it."""
    return f"{type(sampler).__module__}.{type(sampler).__qualname__}"


class SamplerFailed(Exception):
    """A stage of the chain raised, or returned what is no answer; the message names it by its module and class."""

    def __init__(self, sampler: Sampler, error: Exception) -> None:
        super().__init__(f"sampler {name_of(sampler)} failed: {type(error).__name__}: {error}")


def checked(given: Candidates, left: Candidates, vocab_size: int) -> Candidates:
    """Return what a stage returned.

    Raises:
        TypeError, ValueError: it is no Candidates, of other rows, or of another dtype or shape; on a CPU also where ids
            are no tokens, which elsewhere the device would have to be asked for.
    """
    if not isinstance(left, Candidates):
        raise TypeError(f"it returned a {type(left).__name__}, not Candidates")
    if left is given:
        return left
    logits, ids, rows = left.logits, left.ids, len(given.slot_ids)
    if left.slot_ids != given.slot_ids or logits.dim() != 2 or len(logits) != rows:
        raise ValueError(f"it returned logits of shape {tuple(logits.shape)} for {rows} rows")
    if logits.dtype != torch.float32:
        raise TypeError(f"it returned logits in {logits.dtype}, not in torch.float32")
    if ids is None:
        if logits.shape != given.logits.shape:
            raise ValueError(f"it returned {logits.shape[1]} of {given.logits.shape[1]} candidates, and no ids")
    elif ids.shape != logits.shape or ids.dtype != torch.int64:
        shapes = f"{tuple(ids.shape)} in {ids.dtype} for logits {tuple(logits.shape)}"
        raise ValueError(f"it returned ids of shape {shapes}")
    elif ids is not given.ids and ids.device.type == "cpu" and ids.numel():
        low, high = (int(bound) for bound in ids.aminmax())
        if low < 0 or high >= vocab_size:
            raise ValueError(f"it returned id {low if low < 0 else high}, which is no token")
    return left
