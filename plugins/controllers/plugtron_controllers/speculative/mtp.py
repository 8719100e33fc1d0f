"""Drafts of the checkpoint's own layers of multi-token prediction (MTP)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from plugtron.context import StaticInferenceContext, bytes_per_token
from plugtron.contracts import InferenceContext, ModelWrapper, MTPModule, ScheduledSequence, StepBatch, StepPlan
from plugtron.errors import SpecError
from plugtron.request import InferenceSequence
from plugtron.utils import transfer
from plugtron_controllers.speculative.drafter import Drafter, Wanted
from plugtron_controllers.speculative.draws import draw_drafts
from plugtron_controllers.speculative.mtp_window import Window

__all__ = ["MTPDrafter", "mtp_drafter"]

#: Hidden states of so many positions of a sequence are read at once, where no draft is wanted earlier.
_AT_ONCE = 16
_FLOAT_BYTES = 4


def mtp_drafter(wrapper: ModelWrapper, tokens: int) -> MTPDrafter:
    """Return the drafter of a model, for drafts of at most `tokens` tokens.

    Raises:
        SpecError: the checkpoint has no such layers, or the run has pipeline stages.
        CheckpointError: a tensor of theirs is missing, or of another shape.
    """
    stages = wrapper.runtime.pipeline.size
    if stages > 1:
        raise SpecError(f"controller.options.mtp: parallel.pipeline {stages} (accepted: 1)")
    modules = wrapper.mtp_modules(tokens)
    if not modules:
        raise SpecError(
            f"controller.options.mtp: {wrapper.checkpoint.path} has no layers of multi-token prediction (accepted: a "
            "checkpoint of Megatron's with mtp_num_layers)"
        )
    return MTPDrafter(modules)


class _Piece(NamedTuple):
    """Positions of one sequence for one module, from `start` on: their hidden states [n, H], and the tokens ahead."""

    window: Window
    start: int
    inputs: Tensor
    tokens: Sequence[int]


@dataclass(slots=True)
class _Draft:
    """A draft in the making. `ahead` [n, H]: what the last module has made beyond what is certain."""

    window: Window
    tokens: list[int]
    most: int
    ahead: Tensor
    drawn: list[int] = field(default_factory=list)


class MTPDrafter(Drafter):
    """Has the module of depth k propose the k-th draft token, and the last one all that follow, each on its own output.

    Each module has keys and values of its own, of all positions whose hidden states the model has computed since the
    sequence began: of a shared prefix there are none, and drafts go by what comes after it.

    Args:
        modules: one for each depth, at least one.
    """

    reads_hidden_states: ClassVar[bool] = True

    def __init__(self, modules: Sequence[MTPModule]) -> None:
        self._modules = modules
        self._runtime = modules[0].runtime
        self._contexts: list[StaticInferenceContext] = []
        self._windows: dict[int, Window] = {}
        self._steps = count()

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """Load the weights; keys and values, and the hidden states that wait to be read, are still to come."""
        width, total = self._modules[0].info.hidden_size, 0
        for module in self._modules:
            working = module.preload(rows, tokens + rows * _AT_ONCE, longest)
            if working is None:
                return None
            waiting = (tokens + rows * _AT_ONCE) * width * _FLOAT_BYTES
            total += working + waiting + (rows + 1) * longest * bytes_per_token(module.info)
        return total

    def prepare(self, context: InferenceContext) -> None:
        """Load the weights, and make memory for as many sequences, as long as the context's."""
        self._contexts = [
            StaticInferenceContext(module.info, self._runtime, slots=context.slots, max_length=context.max_length)
            for module in self._modules
        ]
        self._get_ready()

    def _get_ready(self) -> None:
        for module, context in zip(self._modules, self._contexts, strict=True):
            module.prep_model_for_inference(context)

    def release_memory(self, *, weights: bool) -> None:
        """Let go of keys and values, and of the weights."""
        for module, context in zip(self._modules, self._contexts, strict=True):
            module.release_memory(weights=weights)
            context.release_memory()
        self._windows = {slot: self._window(window.sequence) for slot, window in self._windows.items()}

    def restore_memory(self) -> None:
        """Take memory again, and read the weights."""
        for context in self._contexts:
            context.restore_memory()
        self._get_ready()

    def start(self, sequence: InferenceSequence) -> None:
        """Take up a sequence, unless it wants an embedding and no tokens."""
        if sequence.request.params.pooling is None:
            assert sequence.slot is not None
            self._windows[sequence.slot] = self._window(sequence)

    def _window(self, sequence: InferenceSequence) -> Window:
        width = self._modules[0].info.hidden_size
        nothing = torch.zeros(0, width, dtype=torch.float32, device=self._runtime.device)
        return Window(sequence, len(self._modules), nothing)

    def end(self, slot: int) -> None:
        """Give its memory to the next."""
        if self._windows.pop(slot, None) is not None:
            for context in self._contexts:
                context.release(slot)

    def wanted_hidden_states(self, plan: StepPlan) -> Mapping[int, int]:
        """Those of every position that a sequence computes."""
        return {row.slot: row.num_new for row in plan.rows if row.slot in self._windows}

    def take_hidden_states(self, plan: StepPlan, hidden: Tensor) -> None:
        """Keep them; modules read those of prompts now, and of sequences that have had no draft for a while."""
        at, due = 0, list[Window]()
        for row in plan.rows:
            size = plan.hidden.get(row.slot, 0)
            window = self._windows.get(row.slot)
            if window is not None:
                window.add(row.num_computed, hidden[at : at + size])
                due += [window] if window.ready(0) >= _AT_ONCE else []
            at += size
        if due:
            self._catch_up(due)

    def _catch_up(self, windows: Sequence[Window]) -> None:
        """Read all that is certain."""
        for depth in range(len(self._modules)):
            waiting = [window for window in windows if window.ready(depth)]
            if not waiting:
                return
            pieces = [_certain(window, depth) for window in waiting]
            _, _, made = self._run(depth, pieces, draws=False)
            for piece, states in zip(pieces, made, strict=True):
                _note(piece.window, depth, states)

    def propose(self, wanted: list[Wanted]) -> Mapping[int, tuple[int, ...]]:
        """Draw a token for each after every run of a module."""
        drafts = [self._draft(each) for each in wanted]
        drafts = [draft for draft in drafts if draft.most > 0]
        for depth in count():
            going = [draft for draft in drafts if len(draft.drawn) < draft.most]
            if not going:
                break
            self._extend(going, depth)
        return {draft.window.slot: tuple(draft.drawn) for draft in drafts}

    def _draft(self, wanted: Wanted) -> _Draft:
        sequence = wanted.sequence
        assert sequence.slot is not None
        window = self._windows[sequence.slot]
        reading, last = window.readings[0], sequence.length - 1
        # Without the hidden state before the last token there is nothing to go on.
        fresh = reading.done < last == reading.done + window.ready(0)
        most = min(wanted.most, self._contexts[0].max_length - sequence.length) if fresh else 0
        return _Draft(window, sequence.all_tokens, most, reading.inputs[:0])

    def _extend(self, drafts: Sequence[_Draft], depth: int) -> None:
        """Add a token to each draft: the module of a depth reads all positions before the sequence's last token."""
        last = len(self._modules) - 1
        pieces = [_up_to_end(draft, depth) if depth <= last else _beyond(draft, last) for draft in drafts]
        logits, batch, made = self._run(min(depth, last), pieces, draws=True)
        sequences, slots = [draft.window.sequence for draft in drafts], tuple([draft.window.slot for draft in drafts])
        drawn = draw_drafts(logits, batch, self._modules[0].info, self._runtime, slots, sequences, depth)
        for draft, states, token in zip(drafts, made, drawn, strict=True):
            certain = draft.window.ready(depth) if depth <= last else 0
            if depth <= last:
                _note(draft.window, depth, states[:certain])
            draft.ahead = states[certain:] if depth < last else states[-1:]
            draft.tokens.append(token)
            draft.drawn.append(token)

    def _run(
        self, depth: int, pieces: Sequence[_Piece], *, draws: bool
    ) -> tuple[Tensor | None, StepBatch, tuple[Tensor, ...]]:
        """Run a module; returns the logits of each piece's last position, the step, and all hidden states by piece."""
        context, module = self._contexts[depth], self._modules[depth]
        rows, positions = list[ScheduledSequence](), list[np.ndarray]()
        for window, start, inputs, tokens in pieces:
            size, at = len(inputs), start - window.first
            rows.append(ScheduledSequence(window.slot, at, size, context.max_length, tuple(tokens), int(draws)))
            positions.append(np.arange(start, start + size, dtype=np.int64) + depth + 1)
        hidden = {row.slot: row.num_new for row in rows}
        plan = StepPlan(step=next(self._steps), rows=tuple(rows), hidden=hidden)
        batch = module.prep_inference_input(plan, context)
        (places,) = transfer(self._runtime.device, np.concatenate(positions))
        output = module.predict(batch, places, torch.cat([piece.inputs for piece in pieces]))
        assert output.hidden is not None, "there is one pipeline stage"
        return output.logits, batch, output.hidden.split([row.num_new for row in rows])


def _certain(window: Window, depth: int) -> _Piece:
    """What a module can read without a draft."""
    reading, size = window.readings[depth], window.ready(depth)
    start = reading.done + depth + 1
    return _Piece(window, reading.done, reading.inputs[:size], window.sequence.all_tokens[start : start + size])


def _note(window: Window, depth: int, made: Tensor) -> None:
    """Note what a module has read for good, and hand on what it has made."""
    window.readings[depth].move(len(made))
    if depth + 1 < len(window.readings):
        reading = window.readings[depth + 1]
        reading.inputs = torch.cat((reading.inputs, made))


def _up_to_end(draft: _Draft, depth: int) -> _Piece:
    """What a module has not read of the positions before the last token: the last of them with draft tokens."""
    window, reading = draft.window, draft.window.readings[depth]
    size = window.sequence.length - 1 - reading.done
    inputs = torch.cat((reading.inputs, draft.ahead))[:size]
    start = reading.done + depth + 1
    return _Piece(window, reading.done, inputs, draft.tokens[start : start + size])


def _beyond(draft: _Draft, last: int) -> _Piece:
    """One position more, with what the last module has made for the hidden state there."""
    token = len(draft.tokens) - 1
    return _Piece(draft.window, token - last - 1, draft.ahead, draft.tokens[token:])
