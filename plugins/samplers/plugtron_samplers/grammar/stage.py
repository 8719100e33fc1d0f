"""Answers of a form that a request asks for: JSON of a schema, a regular expression, choices, a grammar."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, HostCopy, Parts, RowOp, RowStage, Sampler, Tokenizer
from plugtron.request import InferenceRequest, InferenceSequence, SamplingParams
from plugtron.utils import transfer
from plugtron_samplers.grammar.params import GrammarParams
from plugtron_samplers.grammar.source import asks_for_form, sources_in
from plugtron_samplers.id_lists import owners

if TYPE_CHECKING:
    from plugtron_samplers.grammar.cache import GrammarCache
    from plugtron_samplers.grammar.row import GrammarRow

__all__ = ["Grammar"]

#: Threads that compute masks: the steps that they run beside need the cores more.
_MOST_WORKERS = 4
_CORES_A_WORKER = 4

_Masks = Mapping[int, bytes | Exception]


class _Drawn(NamedTuple):
    """A token on its way to the host: a row of what was drawn in a step."""

    tokens: HostCopy
    row: int


class _Slot:
    """What a slot has: its place in the grammar, what it has drawn since, and the mask that is under way."""

    def __init__(self, row: GrammarRow, tokens: Sequence[int]) -> None:
        self.row = row
        self.fresh: list[int | _Drawn] = list(tokens)
        self.masks: Future[_Masks] | None = None


class Grammar(Sampler):
    """Masks what the form of an answer does not allow; where the answer is complete, all but its ends.

    Masks are computed by threads of this stage, beside the forward pass. Nothing is imported, and no thread is started,
    before a request asks for a form.
    """

    params = GrammarParams

    def __init__(self, tokenizer: Tokenizer | None, vocab_size: int, device: torch.device) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._device = device
        self._slots: dict[int, _Slot] = {}
        # What is added to the logits of eight ids, by the byte that has their bits.
        spread = torch.arange(256).unsqueeze(1) >> torch.arange(8) & 1
        self._biases = torch.where(spread == 1, 0.0, float("-inf")).to(device)
        self._spread_bits = self._biases.new_empty(0, 8)
        # One bit for each id and for the end, in whole numbers of 64 bits.
        self._width = -(-(vocab_size + 1) // 64) * 8

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> Grammar:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.tokenizer, parts.wrapper.info.vocab_size, parts.runtime.device)

    def uses(self, params: SamplingParams) -> bool:
        """A response_format of plain text asks for nothing."""
        return asks_for_form(params.asked())

    def check(self, request: InferenceRequest) -> None:
        """Refuse what cannot be compiled for this model, and an answer that could not end."""
        for source in sources_in(request.params.asked()):
            if self._tokenizer is None:
                raise ValueError(f"{source.parameter}: this checkpoint has no tokenizer")
            if not self._ends(request.params):
                why = "ignore_eos leaves" if request.params.ignore_eos else "this tokenizer has"
                raise ValueError(f"{source.parameter}: {why} no token that ends the answer; give stop_token_ids")
            self._cache.get(source).result()

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Begin at the grammar's beginning, and take in what had been generated before the slot was given."""
        from plugtron_samplers.grammar.row import GrammarRow

        params = sequence.request.params
        (source,) = sources_in(params.asked())
        row = GrammarRow(self._cache, source, self._ends(params))
        self._slots[slot] = _Slot(row, sequence.tokens)

    def remove(self, slot: int) -> None:
        """Forget it."""
        self._slots.pop(slot, None)

    def prepare(self, slot_ids: tuple[int, ...]) -> None:
        """Have the masks computed that are not yet."""
        waiting = [slot for slot in slot_ids if slot in self._slots and self._slots[slot].masks is None]
        for number, worker in enumerate(self._workers if waiting else ()):
            own = {slot: self._slots[slot] for slot in waiting if slot % len(self._workers) == number}
            if own:
                work = {slot: (each.row, each.fresh) for slot, each in own.items()}
                masks = worker.submit(_masks, work)
                for each in own.values():
                    each.masks, each.fresh = masks, []

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """The masks as they are."""
        del slots
        self.prepare(slot_ids)
        masks = [self._mask(slot) if slot in self._slots else None for slot in slot_ids]
        packed = np.zeros((max(1, len(masks)), self._width), dtype=np.uint8)
        for row, mask in enumerate(each for each in masks if each is not None):
            packed[row, : len(mask)] = np.frombuffer(mask, dtype=np.uint8)
        return RowStage(op=RowOp.ALLOW, rows=owners(masks), flags=torch.from_numpy(packed))

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask what may not come next."""
        rows = [(row, slot) for row, slot in enumerate(candidates.slot_ids) if slot in self._slots]
        if not rows:
            return candidates
        self.prepare(candidates.slot_ids)
        packed = np.full((len(candidates.slot_ids), self._width), 0xFF, dtype=np.uint8)
        for row, slot in rows:
            mask = self._mask(slot)
            packed[row, : len(mask)] = np.frombuffer(mask, dtype=np.uint8)
        (words,) = transfer(self._device, packed.view(np.int64))
        # Added, not filled in: branches at every other id take ten times as long on a CPU.
        bias = self._spread(words.view(torch.uint8))
        bias = bias[:, : candidates.logits.shape[1]] if candidates.ids is None else bias.gather(1, candidates.ids)
        return replace(candidates, logits=candidates.logits + bias)

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Send what was drawn to the host, for the masks that come next."""
        copy = HostCopy(tokens)
        for row, slot in enumerate(slot_ids):
            self._slots[slot].fresh.append(_Drawn(copy, row))
            self._slots[slot].masks = None

    def _spread(self, packed: Tensor) -> Tensor:
        """What is added to logits: 0 where a bit [N, W] is set, -inf elsewhere; [N, 8 W], valid until the next call."""
        count = packed.numel()
        if len(self._spread_bits) < count:  # kept: memory that is new in each step is slow
            self._spread_bits = self._biases.new_empty(count, 8)
        spread = self._spread_bits[:count]
        torch.index_select(self._biases, 0, packed.flatten().int(), out=spread)
        return spread.view(len(packed), -1)

    def _mask(self, slot: int) -> bytes:
        masks = self._slots[slot].masks
        assert masks is not None, "prepare has begun it"
        mask = masks.result()[slot]
        if isinstance(mask, Exception):
            raise mask
        return mask

    def _ends(self, params: SamplingParams) -> tuple[int, ...]:
        """The ids that may end a request's answer."""
        eos = () if params.ignore_eos or self._tokenizer is None else self._tokenizer.eos_ids
        return tuple(token for token in (*eos, *(params.stop_token_ids or ())) if token < self._vocab_size)

    @cached_property
    def _cache(self) -> GrammarCache:
        from plugtron_samplers.grammar.cache import GrammarCache

        assert self._tokenizer is not None, "check has refused"
        return GrammarCache(self._tokenizer, self._vocab_size)

    @cached_property
    def _workers(self) -> list[ThreadPoolExecutor]:
        """Each has the slots of a remainder, so that no slot is worked on by two at a time."""
        from plugtron_samplers.grammar.library import deep_worker

        count = min(_MOST_WORKERS, max(1, (os.cpu_count() or 1) // _CORES_A_WORKER))
        return [deep_worker(f"plugtron-grammar-{number}") for number in range(count)]


def _masks(work: Mapping[int, tuple[GrammarRow, Sequence[int | _Drawn]]]) -> _Masks:
    """Advance slots by what they have drawn. What one raises is its own."""
    found: dict[int, bytes | Exception] = {}
    for slot, (row, fresh) in work.items():
        try:
            found[slot] = row.advance(
                each if isinstance(each, int) else each.tokens.numbers()[each.row] for each in fresh
            )
        except Exception as error:
            found[slot] = error
    return found
