"""A step under way, as the built-in controller finishes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from plugtron.contracts import HostCopy, PendingStep
from plugtron_controllers.asked import Report
from plugtron_controllers.embeddings import Piece

if TYPE_CHECKING:
    from torch.distributed import Work

__all__ = ["DrawnStep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnStep(PendingStep):
    """Draws that are on their way.

    Args:
        tokens: [N, D] int64 on the device, D being the most draws that a slot has: a slot's tokens in order, then
            `NOT_DRAWN`; other numbers below 0 where a draw failed.
        failures: why, by slot; known on the drawing rank.
        reports: whose log probabilities are to be reported.
        log_probs: those, packed, on the device; None when nobody wants any.
        pieces: the prompts whose hidden states are pooled.
        pooled: what `embeddings.pool` makes of them, on the device.
        broadcasts: what to wait for until `results` are on this rank.
        host_copies: pending copies of `results` to the host; empty before the broadcast completes.
    """

    tokens: torch.Tensor
    failures: dict[int, str]
    reports: tuple[Report, ...]
    log_probs: torch.Tensor | None = None
    pieces: tuple[Piece, ...] = ()
    pooled: tuple[torch.Tensor, ...] = ()
    broadcasts: tuple[Work, ...] = ()
    host_copies: tuple[HostCopy, ...] = ()

    @property
    def results(self) -> tuple[torch.Tensor, ...]:
        """What all ranks and their hosts get, in order: tokens, log probabilities if any are wanted, and embeddings."""
        return (self.tokens, *(() if self.log_probs is None else (self.log_probs,)), *self.pooled)
