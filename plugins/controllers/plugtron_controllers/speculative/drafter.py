"""Drafters: where the draft tokens of speculative decoding come from. The contract is open to other packages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from plugtron.request import InferenceSequence

if TYPE_CHECKING:
    from torch import Tensor

    from plugtron.contracts import InferenceContext, StepPlan

__all__ = ["Drafter", "Wanted"]


class Wanted(NamedTuple):
    """A sequence that wants a draft of at most `most` tokens, which is at least 1."""

    sequence: InferenceSequence
    most: int


class Drafter(ABC):
    """Proposes draft tokens. A rejected draft costs time, and changes no output.

    On every rank of a model the same methods are called in the same order, and must return the same drafts. A
    sequence has its slot from `start` to `end`, and keeps it while its memory is given to others.

    Attributes:
        reads_hidden_states: it wants the model's final hidden states, and is given them after each step.
    """

    reads_hidden_states: ClassVar[bool] = False

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """Load what is to be loaded, and say what memory the rest will take, as `TextGenerationController.preload`."""
        del rows, tokens, longest
        return 0

    def prepare(self, context: InferenceContext) -> None:
        """Get ready for the sequences of an engine: at most `context.slots` at once, of `context.max_length` tokens."""

    def release_memory(self, *, weights: bool) -> None:
        """Let go of what is held of sequences, and of weights, until `restore_memory`; sequences stay."""

    def restore_memory(self) -> None:
        """Get ready again; nothing is held of any sequence."""

    def start(self, sequence: InferenceSequence) -> None:
        """Take up a sequence that has just been given its slot."""

    def wanted_hidden_states(self, plan: StepPlan) -> Mapping[int, int]:
        """Say of how many of a row's last positions hidden states are wanted, by slot, as `StepPlan.hidden`."""
        del plan
        return {}

    def take_hidden_states(self, plan: StepPlan, hidden: Tensor) -> None:
        """Take those of the wanted positions of a step, [M, E] float32, in the order of its rows.

        The tokens that the step draws are not known yet, nor which of its draft tokens are accepted.
        """
        del plan, hidden

    @abstractmethod
    def propose(self, wanted: list[Wanted]) -> Mapping[int, tuple[int, ...]]:
        """Return draft tokens by slot; sequences without a draft are left out."""

    def end(self, slot: int) -> None:
        """Forget a sequence."""
