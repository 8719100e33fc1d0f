"""The speculative controller: several tokens of a sequence in one step, the same ones as without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from plugtron import Options
from plugtron.assembly import load_wrapper
from plugtron.contracts import (
    InferenceContext,
    ModelWrapper,
    Parts,
    PendingStep,
    Sampler,
    StepOutput,
    StepPlan,
    Tokenizer,
)
from plugtron.engine import logits_per_step
from plugtron.errors import SpecError
from plugtron.request import InferenceSequence
from plugtron_controllers.options import SpeculativeOptions
from plugtron_controllers.speculative.draft_model import ModelDrafter
from plugtron_controllers.speculative.drafter import Drafter, Wanted
from plugtron_controllers.speculative.mtp import mtp_drafter
from plugtron_controllers.speculative.ngram import NGramDrafter
from plugtron_controllers.speculative.pace import Pace
from plugtron_controllers.text_generation import SimpleTextGenerationController

__all__ = ["SpeculativeController"]


class SpeculativeController(SimpleTextGenerationController):
    """Verifies the drafts of a drafter: a draft token is accepted when it equals the token that is sampled there.

    The output is the same as without drafts, greedy and seeded. A step that reads all weights for one token reads them
    for several. Sequences whose drafts are rejected pause, and steps of many sequences, which are bound by arithmetic,
    have no drafts.

    Args:
        drafter: proposes draft tokens.
        tokens: the longest draft.
        max_rows: steps of more sequences have no drafts.
    """

    def __init__(
        self,
        wrapper: ModelWrapper,
        tokenizer: Tokenizer | None,
        samplers: Sequence[Sampler],
        drafter: Drafter,
        *,
        tokens: int = 8,
        max_rows: int = 8,
    ) -> None:
        super().__init__(wrapper, tokenizer, samplers)
        self._drafter = drafter
        self._tokens = tokens
        self._max_rows = max_rows
        self._paces: dict[int, Pace] = {}
        self._positions = 0

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> SpeculativeController:
        """Build from a spec."""
        assert isinstance(options, SpeculativeOptions)
        assert parts.wrapper is not None
        return cls(
            parts.wrapper,
            parts.tokenizer,
            parts.samplers,
            _drafter(options, parts.wrapper),
            tokens=options.num_speculative_tokens,
            max_rows=options.max_rows,
        )

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """What the drafter needs comes on top; its weights, where it has any, are loaded too."""
        known, drafter = super().preload(rows, tokens, longest), self._drafter.preload(rows, tokens, longest)
        return None if known is None or drafter is None else known + drafter

    def prep_for_inference(self, context: InferenceContext) -> None:
        """Get the model and the drafter ready."""
        super().prep_for_inference(context)
        if self._drafter.reads_hidden_states and (reason := self._wrapper.why_no_hidden_states()):
            raise SpecError(
                f"controller.options: drafts need the model's hidden states, and this run has none: {reason}"
            )
        self._positions = logits_per_step(context.slots)
        self._drafter.prepare(context)

    def release_memory(self, *, weights: bool) -> None:
        """Let go of the drafter's memory, too."""
        super().release_memory(weights=weights)
        self._drafter.release_memory(weights=weights)

    def restore_memory(self) -> None:
        """Take it again."""
        super().restore_memory()
        self._drafter.restore_memory()

    def start_sequence(self, sequence: InferenceSequence) -> None:
        """Take up a sequence."""
        super().start_sequence(sequence)
        assert sequence.slot is not None
        self._paces[sequence.slot] = Pace(self._tokens)
        self._drafter.start(sequence)

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Let go of a sequence."""
        super().end_sequence(sequence)
        assert sequence.slot is not None
        if self._paces.pop(sequence.slot, None) is not None:
            self._drafter.end(sequence.slot)

    def draft(self, sequences: Sequence[InferenceSequence]) -> Mapping[int, tuple[int, ...]]:
        """Ask the drafter for the sequences for which drafts pay."""
        if not sequences or len(sequences) > self._max_rows:
            return {}
        # Of so many positions in all a step may want logits.
        share = self._positions // len(sequences) - 1
        wanted = [Wanted(each, min(share, self._count(each))) for each in sequences]
        wanted = [each for each in wanted if each.most > 0]
        return self._drafter.propose(wanted) if wanted else {}

    def _count(self, sequence: InferenceSequence) -> int:
        slot = sequence.slot
        assert slot is not None
        if slot in self._read:  # a stage reads the host's tokens, which lack those that this step accepts
            return 0
        length = len(sequence.tokens)
        return min(self._paces[slot].count(length), self._live[slot].most - length - 1)

    def note_acceptance(self, sequence: InferenceSequence, drafted: int, accepted: int) -> None:
        """Adapt the length of the next draft."""
        super().note_acceptance(sequence, drafted, accepted)
        assert sequence.slot is not None
        self._paces[sequence.slot].note(drafted, accepted, len(sequence.tokens))

    def want_hidden_states(self, plan: StepPlan) -> StepPlan:
        """Add what the drafter wants."""
        wanted = self._drafter.wanted_hidden_states(plan)
        return replace(plan, hidden={**plan.hidden, **wanted}) if wanted else plan

    def take_hidden_states(self, plan: StepPlan, output: StepOutput) -> None:
        """Hand them to the drafter."""
        if output.hidden is not None:
            self._drafter.take_hidden_states(plan, output.hidden)

    def next_slots(self, pending: PendingStep) -> tuple[int, ...] | None:
        """None while drafts are made, which need the tokens of the step before."""
        return super().next_slots(pending) if len(pending.slot_ids) > self._max_rows else None


def _drafter(options: SpeculativeOptions, wrapper: ModelWrapper) -> Drafter:
    if options.mtp:
        return mtp_drafter(wrapper, options.num_speculative_tokens)
    if options.draft_model is None:
        return NGramDrafter(options.min_ngram, options.max_ngram)
    draft = load_wrapper(str(options.draft_model), wrapper.runtime, quantization=options.draft_quantization)
    return ModelDrafter(draft, wrapper.info)
