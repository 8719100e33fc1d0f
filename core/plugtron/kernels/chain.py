"""What runs the stages at the end of a chain and the draw together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from plugtron.contracts.row_stage import RowStage

__all__ = ["ChainKernels", "PreparedStage"]


@dataclass(frozen=True, slots=True)
class PreparedStage:
    """A stage as kernels read it: `read` points into the tensors of `stage`."""

    stage: RowStage
    read: Any


class ChainKernels(Protocol):
    """Stages and a draw in one pass over each row."""

    def prepare(self, stage: RowStage, rows: int, vocab_size: int) -> PreparedStage:
        """Return a stage for so many rows as `run` takes it.

        Raises:
            ValueError: it is not of the form that its operation has.
        """
        ...

    def run(
        self,
        logits: Tensor,
        stages: Sequence[PreparedStage],
        seeds: Tensor,
        positions: Tensor,
        greedy: Tensor,
        left: Tensor | None = None,
    ) -> Tensor:
        """Return one id per row, [N] int64; -1 where every candidate is masked, -2 where one is NaN or infinite.

        Args:
            logits: [N, V] float32, which are not changed.
            seeds, positions: [N] int64, what a row's noise is keyed by; see plugtron.kernels.philox.
            greedy: [N] bool, the rows that get no noise.
            left: [N, V] float32, which gets the logits that the draws see.
        """
        ...
