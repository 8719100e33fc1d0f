"""Draws of draft tokens, on the one rank where logits come together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from plugtron.contracts import Candidates, ModelInfo, Runtime, StepBatch
from plugtron.request import InferenceSequence
from plugtron.utils import transfer
from plugtron_controllers.sampling import draw

__all__ = ["draw_drafts"]


def draw_drafts(
    logits: Tensor | None,
    batch: StepBatch,
    info: ModelInfo,
    runtime: Runtime,
    slot_ids: tuple[int, ...],
    sequences: Sequence[InferenceSequence],
    at: int,
) -> list[int]:
    """Draw one token for each sequence; every rank gets the tokens that one has drawn.

    Each is drawn at the request's temperature, with the noise that the model's own draw will have: where the two agree
    on what is likely, both draw the same token. Other stages of the chain are not asked.

    Args:
        logits: this rank's [N, V / tp], of N sequences; None before the last pipeline stage.
        at: how many draft tokens there are already.
    """
    gathered = None if logits is None else runtime.tensor.gather(logits, axis=1)
    tokens = torch.zeros(len(sequences), dtype=torch.int64, device=runtime.device)
    if gathered is not None:
        asked = [sequence.request.params for sequence in sequences]
        heat = [1.0 if params.greedy or params.temperature is None else params.temperature for params in asked]
        seeds, positions, all_greedy = transfer(
            runtime.device,
            np.array([sequence.seed for sequence in sequences], dtype=np.int64),
            np.array([sequence.length + at for sequence in sequences], dtype=np.int64),
            np.array([params.greedy for params in asked], dtype=np.int64),
        )
        candidates = Candidates(
            logits=gathered[:, : info.vocab_size] / gathered.new_tensor(heat).unsqueeze(1),
            ids=None,
            slots=batch.slots,
            positions=positions,
            slot_ids=slot_ids,
        )
        tokens = draw(candidates, seeds, all_greedy.bool()).clamp(min=0)
    work = runtime.model.broadcast(tokens, runtime.sampling_rank)
    if work is not None:
        work.wait()
    return tokens.tolist()
