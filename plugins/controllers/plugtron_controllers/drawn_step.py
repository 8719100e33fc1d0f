"""A step under way, as the built-in controller finishes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plugtron.contracts import HostCopy, PendingStep

if TYPE_CHECKING:
    from torch.distributed import Work

__all__ = ["DrawnStep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnStep(PendingStep):
    """Draws that are on their way.

    Args:
        tokens: [N] int64 on the device; below 0 where the draw failed.
        failures: why, by slot; known on the drawing rank.
        wanted: how many of the most likely ids are to be reported, for the slots whose requests want log probabilities.
        log_probs: those, packed, on the device; None when nobody wants any.
        broadcasts: what to wait for until `tokens` and `log_probs` are on this rank.
        host_copies: pending copies of `tokens` and `log_probs` to the host; empty before the broadcast completes.
    """

    tokens: torch.Tensor
    failures: dict[int, str]
    wanted: dict[int, int]
    log_probs: torch.Tensor | None = None
    broadcasts: tuple[Work, ...] = ()
    host_copies: tuple[HostCopy, ...] = ()
