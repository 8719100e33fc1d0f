"""What every decoder family shares of a model wrapper: loading, laying out a step, running it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plugtron.checkpoint.loader import load_weights
from plugtron.context.base import InferenceContext
from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription
from plugtron.contracts.step import Row, StepBatch, StepPlan
from plugtron.contracts.wrapper import AttentionState, ModelInfo, ModelWrapper
from plugtron.execution.eager import EagerExecution
from plugtron.nn.attention import local_kv_heads
from plugtron.nn.config import DecoderConfig
from plugtron.parallel.layers import divide
from plugtron.parallel.runtime import Runtime

__all__ = ["DecoderWrapper"]


class DecoderWrapper(ModelWrapper):
    """A family says what its decoder looks like (`build`) and where its weights are (`weight_map`).

    Raises:
        ParallelError: the heads cannot be shared out over the ranks.
    """

    def __init__(
        self, runtime: Runtime, checkpoint: CheckpointReader, model: ModelDescription, config: DecoderConfig
    ) -> None:
        self.runtime = runtime
        self.model = model
        self.checkpoint = checkpoint
        self.config = config
        divide("attention heads", config.num_heads, runtime)
        kv_heads, _ = local_kv_heads(config.num_kv_heads, runtime)
        ranks = runtime.tensor.size
        self.info = ModelInfo(
            vocab_size=config.vocab_size,
            padded_vocab_size=-(-config.vocab_size // ranks) * ranks,
            hidden_size=config.hidden_size,
            max_positions=config.max_positions,
            eos_ids=model.eos_ids,
            states=tuple(
                AttentionState(kv_heads=kv_heads, head_dim=config.head_dim, window=window) for window in config.windows
            ),
        )
        self._execution: EagerExecution | None = None

    def prep_model_for_inference(self, context: InferenceContext) -> None:
        """Load this rank's weights and make the execution ready. What is loaded already stays."""
        del context  # eager needs to know nothing of memory in advance; an execution that captures will
        if self._execution is None:
            layers = range(self.config.num_layers)
            decoder = self.build(layers)
            weight_map = self.weight_map(self.model.format)
            load_weights(decoder, layers, self.config.num_layers, weight_map, self.checkpoint)
            self._execution = EagerExecution(decoder)

    def prep_inference_input(self, plan: StepPlan, context: InferenceContext) -> StepBatch:
        """Lay a plan out on the device: one transfer for what the host knows, the rest is on the device already."""
        device = self.runtime.device
        known = torch.tensor([list(_tokens(plan.rows)), list(_positions(plan.rows))]).to(device, non_blocking=True)
        tokens, positions = known
        slots = torch.tensor([row.slot for row in plan.rows], device=device)
        ends = torch.tensor([0, *(row.count for row in plan.rows)], device=device).cumsum(0)
        continuing = [not row.tokens for row in plan.rows]
        if all(continuing):
            tokens = context.last_tokens[slots]
        elif any(continuing):
            chosen = torch.tensor(continuing, device=device)
            tokens[ends[:-1][chosen]] = context.last_tokens[slots[chosen]]
        return StepBatch(
            tokens=tokens,
            positions=positions,
            row_starts=ends,
            slots=slots,
            logit_index=_logit_index(plan.rows, device),
            memory=context.view(plan),
        )

    def run_one_forward_step(self, batch: StepBatch) -> Tensor | None:
        """Return this rank's logits [N, V / tp] in float32."""
        assert self._execution is not None, "prep_model_for_inference comes first"
        return self._execution.run(batch)


def _tokens(rows: Sequence[Row]) -> list[int]:
    return [token for row in rows for token in (row.tokens or (0,))]


def _positions(rows: Sequence[Row]) -> list[int]:
    return [position for row in rows for position in range(row.start, row.end)]


def _logit_index(rows: Sequence[Row], device: torch.device) -> Tensor | None:
    """Which tokens want logits: the last few of each row. None when all do, which spares a copy."""
    wanted, end = [], 0
    for row in rows:
        end += row.count
        wanted += range(end - row.wants_logits, end)
    return None if len(wanted) == end else torch.tensor(wanted, device=device)
