"""One step, from the plan that an engine makes to what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from plugtron.request.request import LogProbs

if TYPE_CHECKING:
    import torch

    from plugtron.contracts.memory import AttentionMetadata

__all__ = ["Columns", "ScheduledSequence", "StepBatch", "StepOutput", "StepPlan", "StepResult"]


class ScheduledSequence(NamedTuple):
    """What one sequence does in one step. A tuple, because hundreds are made in every step.

    Args:
        slot: its place in KV memory, stable while it is active.
        num_computed: how many of its tokens are in memory already.
        num_new: how many tokens this row computes.
        reserved: how many tokens memory is reserved for.
        tokens: the ids to compute; empty for one token, the last drawn, which the device has. Draft tokens stand
            behind the last drawn token.
        num_logits: how many of the last positions get logits; 0 for an unfinished chunk of a prompt.
    """

    slot: int
    num_computed: int
    num_new: int
    reserved: int
    tokens: tuple[int, ...] = ()
    num_logits: int = 1

    @property
    def end(self) -> int:
        """How many tokens are in memory after the step."""
        return self.num_computed + self.num_new

    def with_draft(self, last: int, draft: tuple[int, ...]) -> ScheduledSequence:
        """This row, of one token, `last`, with draft tokens behind it."""
        size = 1 + len(draft)
        end = self.num_computed + size
        return self._replace(num_new=size, reserved=max(self.reserved, end), tokens=(last, *draft), num_logits=size)


class Columns(NamedTuple):
    """The rows of a plan, turned by 90 degrees: [R] each."""

    slots: tuple[int, ...]
    num_computed: tuple[int, ...]
    num_new: tuple[int, ...]
    reserved: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]
    num_logits: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """The rows of one step, in the order in which their tokens are laid out; there is at least one.

    Args:
        hidden: of how many of a row's last positions final hidden states are wanted, by slot; only a controller asks
            for them, of a wrapper that gives them (see `ModelWrapper.run_with_hidden_states`).
        hidden_layers: after which layers the hidden states of those positions are wanted as well; 0 is the embedding.
    """

    step: int
    rows: tuple[ScheduledSequence, ...]
    hidden: Mapping[int, int] = field(default_factory=dict)
    hidden_layers: tuple[int, ...] = ()

    @cached_property
    def columns(self) -> Columns:
        """The rows by field, for who works on all of them at once."""
        return Columns(*zip(*self.rows, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBatch:
    """A step's input on the device: T tokens of R rows, of which N positions want logits, and M hidden states.

    Shapes: tokens, positions [T] int64; query_start_loc [R + 1] and slots [R] int64; logit_index [N] int64, or None
    when every token wants logits; hidden_index [M] int64, or None when the plan wants no hidden states.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    query_start_loc: torch.Tensor
    slots: torch.Tensor
    logit_index: torch.Tensor | None
    memory: AttentionMetadata
    hidden_index: torch.Tensor | None = None
    hidden_layers: tuple[int, ...] = ()


class StepOutput(NamedTuple):
    """What a step comes to, where hidden states are wanted; all None before the last pipeline stage.

    Args:
        logits: this rank's [N, V / tp] in float32, of the positions in `logit_index`.
        hidden: final hidden states [M, E] in float32, what the head projects to logits, of the positions in
            `hidden_index`; whole on every rank.
        layers: those after each of `hidden_layers`, [M, H] in float32.
    """

    logits: torch.Tensor | None = None
    hidden: torch.Tensor | None = None
    layers: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step gave, by slot, equal on every rank of the model: tokens, or the reason why a request fails.

    A slot that is in neither has computed a chunk of its prompt. `prompt_log_probs` are those of the next positions of
    a prompt whose request asks for them.
    """

    step: int
    tokens: Mapping[int, tuple[int, ...]]
    log_probs: Mapping[int, tuple[LogProbs, ...]]
    failures: Mapping[int, str]
    prompt_log_probs: Mapping[int, tuple[LogProbs, ...]] = field(default_factory=dict)
