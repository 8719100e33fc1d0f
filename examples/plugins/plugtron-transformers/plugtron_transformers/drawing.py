"""From logits to a token, through transformers' own logits processors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from plugtron.request import InferenceSequence, LogProbs, SamplingParams

__all__ = ["Drawing"]


class Drawing:
    """Draws the tokens of one sequence: from its seed alone, whatever else is generated."""

    def __init__(self, sequence: InferenceSequence, device: torch.device) -> None:
        self._sequence = sequence
        self._processors = LogitsProcessorList(_processors(sequence.request.params))
        self._generator = torch.Generator(device).manual_seed(sequence.seed)

    def draw(self, logits: Tensor) -> tuple[int, tuple[LogProbs, ...]]:
        """Return a token, and its log probabilities where they are asked for.

        Args:
            logits: [1, V] float32.

        Raises:
            ValueError: the model computes no numbers.
        """
        params = self._sequence.request.params
        seen: Any = torch.tensor([self._sequence.all_tokens], device=logits.device)
        processed = self._processors(seen, logits)
        if not torch.isfinite(processed.amax()):
            raise ValueError("the model computes logits that are no numbers")
        if params.greedy:
            token = int(processed.argmax())
        else:
            token = int(torch.multinomial(processed.softmax(-1), 1, generator=self._generator))
        if params.logprobs is None:
            return token, ()
        source = processed if params.logprobs_mode == "processed" else logits
        return token, (_log_probs(source[0].log_softmax(-1), token, params.logprobs),)


def _processors(params: SamplingParams) -> list[LogitsProcessor]:
    """In the order of plugtron's default chain. What is unset, or keeps all, is left out."""
    found: list[LogitsProcessor] = []
    if params.repetition_penalty not in (None, 1.0):
        found.append(RepetitionPenaltyLogitsProcessor(params.repetition_penalty))
    if params.greedy:
        return found
    if params.temperature not in (None, 1.0):
        found.append(TemperatureLogitsWarper(params.temperature))
    if params.min_p:
        found.append(MinPLogitsWarper(params.min_p))
    if params.top_k and params.top_k > 0:
        found.append(TopKLogitsWarper(params.top_k))
    if params.top_p not in (None, 1.0):
        found.append(TopPLogitsWarper(params.top_p))
    return found


def _log_probs(log_probs: Tensor, token: int, top: int) -> LogProbs:
    values, ids = log_probs.topk(top)
    likeliest = dict(zip(ids.tolist(), values.tolist(), strict=True))
    return LogProbs(token=token, value=float(log_probs[token]), top=likeliest)
