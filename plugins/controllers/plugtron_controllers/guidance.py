"""Classifier-free guidance (arXiv:2306.17806): away from what the model would say after another prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import torch

from plugtron import Options
from plugtron.context import StaticInferenceContext, bytes_per_token
from plugtron.contracts import (
    Candidates,
    InferenceContext,
    ModelWrapper,
    Parts,
    PendingStep,
    Sampler,
    ScheduledSequence,
    StepPlan,
    Tokenizer,
)
from plugtron.errors import EngineError, RequestError
from plugtron.request import InferenceRequest, InferenceSequence
from plugtron_controllers.params import GuidanceParams
from plugtron_controllers.text_generation import SimpleTextGenerationController

__all__ = ["GuidanceController"]


@dataclass(slots=True)
class _Guided:
    """A sequence that is guided: the other prompt, and how much of it and of the answer is in memory."""

    sequence: InferenceSequence
    scale: float
    negative: list[int]
    computed: int = 0


class GuidanceController(SimpleTextGenerationController):
    """Runs every step of a guided sequence a second time, after the other prompt, in memory of its own.

    That memory has room for as many sequences as the engine has slots, of the engine's longest.
    """

    params = GuidanceParams

    def __init__(
        self, wrapper: ModelWrapper, tokenizer: Tokenizer | None = None, samplers: Sequence[Sampler] = ()
    ) -> None:
        super().__init__(wrapper, tokenizer, samplers)
        self._model = wrapper
        self._guided: dict[int, _Guided] = {}
        self._other: StaticInferenceContext | None = None
        # Of the step under way: the slots that it guides, and their log probabilities after the other prompt.
        self._slots: tuple[int, ...] = ()
        self._log_probs: torch.Tensor | None = None
        self._steps = count()

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> GuidanceController:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.wrapper, parts.tokenizer, parts.samplers)

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """The second memory comes on top."""
        known = super().preload(rows, tokens, longest)
        return None if known is None else known + rows * longest * bytes_per_token(self.model)

    def prep_for_inference(self, context: InferenceContext) -> None:
        """Get the model ready, and memory for the other prompts."""
        super().prep_for_inference(context)
        self._other = StaticInferenceContext(
            self.model, self.runtime, slots=context.slots, max_length=context.max_length
        )
        self._other.clears = context.clears
        # What was drawn continues both.
        self._other.last_tokens = context.last_tokens

    def update_weights(self, path: Path) -> None:
        """Have the model read them; what it has of other prompts is of the weights before."""
        self._check_idle()
        super().update_weights(path)

    def release_memory(self, *, weights: bool) -> None:
        """Let go of the memory for the other prompts, too."""
        self._check_idle()
        assert self._other is not None
        super().release_memory(weights=weights)
        self._other.release_memory()

    def restore_memory(self) -> None:
        """Take it again."""
        assert self._other is not None
        self._other.restore_memory()
        super().restore_memory()

    def _check_idle(self) -> None:
        if self._guided:
            raise EngineError("requests with guidance_scale are running, which are not computed again: let them end")

    def check(self, request: InferenceRequest) -> None:
        """Refuse another prompt that cannot be, or that leaves the answer no room."""
        super().check(request)
        if "guidance_scale" not in request.params.asked():
            return
        negative = self._negative(request)
        assert self._other is not None
        most = request.params.most_tokens
        if len(negative) + (most or 1) > self._other.max_length:
            raise RequestError(
                f"negative_prompt: its {len(negative)} tokens and an answer of {most or 1} are more than the "
                f"{self._other.max_length} of a sequence"
            )

    def start_sequence(self, sequence: InferenceSequence) -> None:
        """Take up a sequence, and its other prompt."""
        super().start_sequence(sequence)
        scale = sequence.request.params.asked().get("guidance_scale")
        if scale is not None and scale != 1:
            assert sequence.slot is not None
            self._guided[sequence.slot] = _Guided(sequence, scale, self._negative(sequence.request))

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Let go of it."""
        super().end_sequence(sequence)
        assert sequence.slot is not None
        if self._guided.pop(sequence.slot, None) is not None:
            assert self._other is not None
            self._other.release(sequence.slot)

    def start_step(self, plan: StepPlan) -> PendingStep:
        """Run what the step draws for after the other prompts first, on all ranks."""
        rows = [self._other_row(row) for row in plan.rows if row.slot in self._guided and row.num_logits]
        rows = [row for row in rows if row is not None]
        self._slots, self._log_probs = tuple(row.slot for row in rows), None
        if rows:
            assert self._other is not None
            other = StepPlan(step=next(self._steps), rows=tuple(rows))
            logits = self._model.run_one_forward_step(self._model.prep_inference_input(other, self._other))
            if logits is not None:
                gathered = self.runtime.tensor.gather(logits, axis=1)
                if gathered is not None:
                    self._log_probs = gathered[:, : self.model.vocab_size].log_softmax(dim=1)
        return super().start_step(plan)

    def process_logits(self, candidates: Candidates) -> Candidates:
        """Lead the guided rows away from the other prompt."""
        there = [row for row, slot in enumerate(candidates.slot_ids) if slot in self._slots]
        if not there:
            return candidates
        assert self._log_probs is not None
        chosen = [candidates.slot_ids[row] for row in there]
        negative = self._log_probs[[self._slots.index(slot) for slot in chosen]]
        scale = negative.new_tensor([self._guided[slot].scale for slot in chosen]).unsqueeze(1)
        logits = candidates.logits.clone()
        logits[there] = torch.lerp(negative, logits[there].log_softmax(dim=1), scale)
        return replace(candidates, logits=logits)

    def _other_row(self, row: ScheduledSequence) -> ScheduledSequence | None:
        """What a row that draws computes after the other prompt: what it has not yet of that and of the answer."""
        assert self._other is not None
        guided = self._guided[row.slot]
        answered = row.end - len(guided.sequence.request.prompt_tokens)
        if answered < 0:
            return None  # a piece of the prompt, whose log probabilities are reported
        start, end = guided.computed, len(guided.negative) + answered
        guided.computed = end
        # One more token is the one drawn last, which the device has; the host may not know it yet.
        known = [*guided.negative, *guided.sequence.tokens][start:end] if end - start > 1 or not answered else []
        return ScheduledSequence(row.slot, start, end - start, self._other.max_length, tuple(known))

    def _negative(self, request: InferenceRequest) -> list[int]:
        given = request.params.asked().get("negative_prompt")
        if given is None:
            return request.prompt_tokens[-1:]
        return self.tokenize_prompt(given, request.params)
