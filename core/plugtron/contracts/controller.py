"""Controllers: how one step turns logits into text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, ClassVar

from plugtron.contracts.decoder import ModelInfo
from plugtron.contracts.step import ScheduledSequence, StepPlan, StepResult
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import PluginError
from plugtron.plugin.options import Params
from plugtron.request.request import InferenceRequest, InferenceSequence, Prompt, RequestOutput
from plugtron.request.sampling_params import SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

    from plugtron.contracts.context import InferenceContext
    from plugtron.contracts.memory import KVOrigin
    from plugtron.parallel.runtime import Runtime
    from plugtron.request.chat_options import ChatOptions

__all__ = ["PendingStep", "TextGenerationController"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingStep:
    """A step that is under way; a controller's own is a subclass with what it needs to finish it.

    Args:
        slot_ids: the slots that draw, in order.
    """

    plan: StepPlan
    slot_ids: tuple[int, ...]


class TextGenerationController(ABC):
    """Tokenizes prompts, runs steps, draws, decides when a sequence ends, and makes its text.

    Attributes:
        params: the fields of a request that the controller itself consumes.
        runtime, tokenizer: what it was built with; a checkpoint without a tokenizer runs on ids.
        model: what the engine must reserve memory for.
    """

    params: ClassVar[type[Params]] = Params
    runtime: Runtime
    tokenizer: Tokenizer | None
    model: ModelInfo

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """Have the model's weights loaded, for an engine that wants to know what memory they leave.

        Returns:
            How many bytes steps of at most `rows` rows and `tokens` tokens work in besides, over sequences of at most
            `longest`; None where that is not known, and perhaps nothing loaded.
        """
        del rows, tokens, longest
        return None

    @abstractmethod
    def prep_for_inference(self, context: InferenceContext) -> None:
        """Get the model ready to run over `context`; called once, by the engine."""

    def update_weights(self, path: Path) -> None:
        """Run steps with the weights of another checkpoint of the same model from now on. Optional.

        All ranks of the model call it together, between two steps. Where one fails, all do, and go on as before.

        Raises:
            CheckpointError: it is broken, or of another model.
            PluginError: this controller, or its model, cannot do it.
        """
        del path
        raise PluginError(f"{type(self).__name__} keeps the weights that it has")

    def kv_origin(self) -> KVOrigin | None:
        """Say what the keys and values of its steps depend on, as `ModelWrapper.kv_origin` does. Optional."""
        return None

    def release_memory(self, *, weights: bool) -> None:
        """Let go of the context's memory, and of the weights, until `restore_memory`. Sequences stay. Optional.

        Raises:
            PluginError: this controller, or its model, cannot do it; nothing has been released.
            EngineError: not while the requests that are running do.
        """
        del weights
        raise PluginError(f"{type(self).__name__} keeps its memory")

    def restore_memory(self) -> None:
        """Be ready to run over the context again, which has its memory back; sequences are computed from the start."""

    @abstractmethod
    def tokenize_prompt(self, prompt: Prompt, params: SamplingParams, *, chat: ChatOptions | None = None) -> list[int]:
        """Return the ids of a prompt; may be called from any thread, several at once.

        Args:
            chat: how messages are written out; given only where a request says so.

        Raises:
            ValueError: it is empty, has an id outside the vocabulary, or is text while there is no tokenizer.
        """

    @abstractmethod
    def check(self, request: InferenceRequest) -> None:
        """Refuse a request that asks for what the chain cannot do, by raising a ValueError."""

    @abstractmethod
    def start_sequence(self, sequence: InferenceSequence) -> None:
        """Take up a sequence that has just been given its slot."""

    @abstractmethod
    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Let go of a sequence, before its slot is freed."""

    @abstractmethod
    def next_row(self, sequence: InferenceSequence) -> ScheduledSequence:
        """Say what a sequence has to compute next: its whole prompt, or the token drawn last."""

    def first_logit(self, sequence: InferenceSequence) -> int:
        """Say from which position of a sequence on logits are wanted: by default its last token's.

        What comes before may be taken from memory that holds it already. Every position from there on gets logits once:
        a prompt whose log probabilities are asked for wants those of all its tokens. Equal on every rank of the model.
        """
        return sequence.length - 1

    def draft(self, sequences: Sequence[InferenceSequence]) -> Mapping[int, tuple[int, ...]]:
        """Return draft tokens for speculative decoding, by slot, for sequences whose last token is to be computed next.

        The step computes them behind that token and samples at every position: draft tokens are accepted up to the
        first that differs from the sampled token, so that the output is the one without drafts. A draft is no longer
        than the number of tokens that the request may still have, less one.
        Equal on every rank of the model, and called with sequences in the same order there.
        """
        del sequences
        return {}

    @abstractmethod
    def start_step(self, plan: StepPlan) -> PendingStep:
        """Launch a step; does not wait for the device, nor for later pipeline stages."""

    @abstractmethod
    def finish_step(self, pending: PendingStep) -> StepResult:
        """Wait for a step and apply it to its sequences; equal on every rank of the model."""

    def next_slots(self, pending: PendingStep) -> tuple[int, ...] | None:
        """Say which slots of a step that is under way go on after it, as far as that is known before its tokens are.

        A slot that ends all the same computes a token that nobody gets. Equal on every rank of the model.

        Returns:
            None, as here: no further step may be started before this one is finished.
        """
        del pending
        return None

    @abstractmethod
    def take_outputs(self) -> list[RequestOutput]:
        """Return what the finished steps added to their sequences since the last call."""

    def generate_all_output_tokens_static_batch(self, sequences: Sequence[InferenceSequence]) -> Iterator[StepResult]:
        """Run a fixed batch to its end, a step at a time; a sequence that has ended drops out of the steps.

        Over several pipeline stages the batch is divided into as many, so that each stage has one to work on: their
        steps are started in turn and finished in the same order.
        """
        stages = self.runtime.pipeline.size
        parts = [sequences[first::stages] for first in range(min(stages, len(sequences)))]
        under_way: deque[tuple[Sequence[InferenceSequence], PendingStep]] = deque()
        steps = count()

        def start(part: Sequence[InferenceSequence]) -> None:
            going = [sequence for sequence in part if sequence.finish_reason is None]
            drafts = self.draft([sequence for sequence in going if sequence.computed == sequence.length - 1])
            rows = [self.next_row(sequence) for sequence in going]
            if drafts:
                rows = [_with_draft(row, sequence, drafts) for row, sequence in zip(rows, going, strict=True)]
            if rows:
                under_way.append((part, self.start_step(StepPlan(step=next(steps), rows=tuple(rows)))))

        for part in parts:
            start(part)
        while under_way:
            part, pending = under_way.popleft()
            yield self.finish_step(pending)
            start(part)


def _with_draft(
    row: ScheduledSequence, sequence: InferenceSequence, drafts: Mapping[int, tuple[int, ...]]
) -> ScheduledSequence:
    draft = drafts.get(row.slot)
    return row.with_draft(sequence.all_tokens[-1], draft) if draft else row
