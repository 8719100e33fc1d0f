"""Requests, sequences and candidates as engines and controllers make them, for calling a part by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from plugtron.contracts import Candidates
from plugtron.request import InferenceRequest, InferenceSequence, SamplingParams

__all__ = ["candidates_of", "request_of", "sequence_of"]


def request_of(params: Mapping[str, Any], prompt: Sequence[int] = (1, 2, 3)) -> InferenceRequest:
    """A request with these parameters, a plugin's own among them."""
    return InferenceRequest(prompt=list(prompt), params=SamplingParams.from_flat(dict(params)))


def sequence_of(
    params: Mapping[str, Any],
    *,
    slot: int = 0,
    prompt: Sequence[int] = (1, 2, 3),
    tokens: Sequence[int] = (),
    seed: int = 1,
) -> InferenceSequence:
    """A sequence that is active in a slot, and has generated some tokens."""
    request = request_of(params, prompt)
    request.prompt_tokens = list(prompt)
    sequence = InferenceSequence(request=request, index=0, seed=seed, slot=slot, tokens=list(tokens))
    sequence.computed = sequence.length
    request.sequences = [sequence]
    return sequence


def candidates_of(
    logits: torch.Tensor, slots: Sequence[int], *, ids: torch.Tensor | None = None, position: int = 3
) -> Candidates:
    """Candidates [N, C] of rows in these slots, at one position."""
    return Candidates(
        logits=logits.clone(),
        ids=None if ids is None else ids.clone(),
        slots=torch.tensor(slots, dtype=torch.int64),
        positions=torch.full((len(slots),), position, dtype=torch.int64),
        slot_ids=tuple(slots),
    )
