"""What the logits of a step are for: sampling, verifying draft tokens, and log probabilities of prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from plugtron.contracts import ScheduledSequence, StepPlan
from plugtron.engine import LiveSequence
from plugtron.request import InferenceSequence
from plugtron_controllers.prompt_logprobs import scores_prompt

__all__ = ["Asked", "Report", "ask", "has_draft"]


class Report(NamedTuple):
    """One position whose log probabilities are reported, with those of the `top` most likely ids.

    `draw` is the position's place among its slot's draws; None: it is a prompt's, whose next token is `given`, and
    whose logits are row `place` of the step's.
    """

    slot: int
    top: int
    draw: int | None
    given: int = 0
    place: int = 0


class _Draws(NamedTuple):
    """A slot's draws: row in the plan, first row of logits, position of the first sampled token, and draft."""

    slot: int
    row: int
    place: int
    position: int
    draft: tuple[int, ...]


@dataclass(frozen=True)
class Asked:
    """The draws of a step, a slot each, and what is reported, in an order that all ranks know."""

    draws: tuple[_Draws, ...]
    prompts: tuple[Report, ...]

    @cached_property
    def slot_ids(self) -> tuple[int, ...]:
        """The slots that draw."""
        return tuple([draws.slot for draws in self.draws])

    @cached_property
    def most(self) -> int:
        """How many draws a slot has at the most."""
        return 1 + max((len(draws.draft) for draws in self.draws), default=0)

    def reports(self, wanted: Mapping[int, int]) -> tuple[Report, ...]:
        """What is reported of this step.

        Args:
            wanted: how many of the most likely ids are reported with each draw, for the slots that want it.
        """
        if not wanted:
            return self.prompts
        drawn = [
            Report(draws.slot, wanted[draws.slot], at)
            for draws in self.draws
            if draws.slot in wanted
            for at in range(1 + len(draws.draft))
        ]
        return (*drawn, *self.prompts)


def has_draft(row: ScheduledSequence, sequence: InferenceSequence) -> bool:
    """Whether a row that wants several logits has draft tokens; the tokens of a prompt are none."""
    return row.num_logits > 1 and row.num_computed >= len(sequence.request.prompt_tokens)


def ask(plan: StepPlan, live: Mapping[int, LiveSequence]) -> Asked:
    """Say what the logits of a step are for."""
    draws: list[_Draws] = []
    prompts: list[Report] = []
    place = 0
    for row, (slot, start, size, _, named, count) in enumerate(plan.rows):
        if not count:
            continue
        place, first, end = place + count, place, start + size
        if not named:  # it goes on with the token sampled last, as most rows do
            draws.append(_Draws(slot, row, first, end, ()))
            continue
        each = live[slot]
        prompt = each.sequence.request.prompt_tokens
        if start < len(prompt) and scores_prompt(each.sequence):
            top = each.sequence.request.params.prompt_logprobs or 0
            from_ = end - count  # the position that the first of these logits is of
            prompts += [
                Report(slot, top, None, prompt[at + 1], first + at - from_)
                for at in range(from_, min(end, len(prompt) - 1))
            ]
        if end >= len(prompt) and each.most:
            draft = named[size - count + 1 :] if count > 1 and has_draft(plan.rows[row], each.sequence) else ()
            draws.append(_Draws(slot, row, place - 1 - len(draft), end - len(draft), draft))
    return Asked(tuple(draws), tuple(prompts))
