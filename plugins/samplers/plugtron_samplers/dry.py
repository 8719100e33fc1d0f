"""DRY, "don't repeat yourself" (text-generation-webui, llama.cpp)."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler, Tokenizer
from plugtron.request import InferenceRequest, InferenceSequence, SamplingParams
from plugtron_samplers.at_tokens import subtract_at
from plugtron_samplers.repetition_params import DryParams
from plugtron_samplers.slot_rows import grown
from plugtron_samplers.slot_values import SlotValues, numbers_of
from plugtron_samplers.suffix_matches import SuffixMatches
from plugtron_samplers.token_texts import TokenTexts
from plugtron_samplers.unset import in_force

__all__ = ["Dry"]

#: Longer than any sequence.
_NEVER = 1 << 40
#: Far above any logit, and finite.
_MOST = 1e30


class Dry(Sampler):
    """Penalizes the tokens that would continue a repetition, the more the longer it is already.

    A token that once followed the last n tokens, n at least `dry_allowed_length`, loses `dry_multiplier` *
    `dry_base` ** (n - `dry_allowed_length`), for the longest such n. Repetitions begin within the last `dry_range`
    tokens, and behind the last token that has one of `dry_sequence_breakers` in its text; such tokens lose nothing.
    Without a tokenizer no token is known to.
    """

    params = DryParams

    def __init__(self, tokenizer: Tokenizer | None, vocab_size: int, device: torch.device) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._device = device
        self._history = SuffixMatches(device)
        self._breaks = torch.zeros(1, vocab_size, dtype=torch.bool, device=device)
        self._multipliers = SlotValues(0.0, device)
        self._bases = SlotValues(1.0, device)
        self._allowed = SlotValues(_NEVER, device, torch.int64)
        self._ranges = SlotValues(_NEVER, device, torch.int64)

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> Dry:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.tokenizer, parts.wrapper.info.vocab_size, parts.runtime.device)

    def uses(self, params: SamplingParams) -> bool:
        """A multiplier of 0 penalizes nothing."""
        return bool(in_force(self.asked(params), "dry_multiplier"))

    def check(self, request: InferenceRequest) -> None:
        """Refuse breakers that no token has in its text."""
        if "dry_sequence_breakers" not in request.params.extra:
            return
        if self._tokenizer is None:
            raise ValueError("dry_sequence_breakers: this checkpoint has no tokenizer that knows the texts of tokens")
        for breaker in in_force(self.asked(request.params), "dry_sequence_breakers"):
            if not self._texts.containing(breaker.encode()):
                raise ValueError(f"dry_sequence_breakers: no token of this tokenizer has {breaker!r} in its text")

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Begin with prompt and answer so far."""
        asked = self.asked(sequence.request.params)
        breaks = self._breaking(in_force(asked, "dry_sequence_breakers"))
        row = self._history.add(slot, sequence.all_tokens, breaks.__contains__)
        self._breaks = grown(self._breaks, self._history.rows.count)
        self._breaks[row] = False
        self._breaks[row, torch.tensor(sorted(breaks), dtype=torch.int64, device=self._device)] = True
        reach = in_force(asked, "dry_range")
        self._multipliers.set(slot, in_force(asked, "dry_multiplier"))
        self._bases.set(slot, in_force(asked, "dry_base"))
        self._allowed.set(slot, in_force(asked, "dry_allowed_length"))
        self._ranges.set(slot, reach if reach > 0 else _NEVER)

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._history.remove(slot)
        for values in (self._multipliers, self._bases, self._allowed, self._ranges):
            values.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """The four numbers of a history, and which tokens lose nothing."""
        numbers = numbers_of(slots, slot_ids, self._multipliers, self._bases, self._allowed, self._ranges)
        return RowStage(
            op=RowOp.PENALIZE_REPEATED,
            numbers=numbers,
            rows=self._history.rows.owned(slots, slot_ids),
            ids=self._history.tokens,
            values=self._history.matches,
            flags=self._breaks,
        )

    def apply(self, candidates: Candidates) -> Candidates:
        """Penalize what would go on as before."""
        slots, slot_ids = candidates.slots, candidates.slot_ids
        tokens, matches = self._history.take(slots, slot_ids)
        # Where the tokens that are looked at begin: a repetition has no more of them before it.
        begin = (self._history.lengths(slot_ids) - self._ranges.take(slots, slot_ids)).clamp(min=0)
        places = torch.arange(tokens.shape[1], device=tokens.device).unsqueeze(0)
        beyond = torch.minimum(matches, places - begin) - self._allowed.take(slots, slot_ids)
        lost = self._multipliers.take(slots, slot_ids) * self._bases.take(slots, slot_ids) ** beyond.clamp(min=0)
        breaks = self._breaks[self._history.rows.take(slots, slot_ids).unsqueeze(1), tokens.clamp(min=0)]
        lost = torch.where((beyond >= 0) & ~breaks, lost.clamp(max=_MOST), 0.0)
        return subtract_at(candidates, tokens, lost, self._vocab_size)

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Add the drawn tokens."""
        self._history.accept(slot_ids, tokens, self._breaks[self._history.rows.of(slot_ids), tokens])

    @cached_property
    def _texts(self) -> TokenTexts:
        assert self._tokenizer is not None, "check has refused the request"
        return TokenTexts(self._tokenizer, special=True)

    def _breaking(self, breakers: list[str]) -> set[int]:
        """The ids of the tokens that no repetition goes over."""
        if self._tokenizer is None:
            return set()
        found = {token for breaker in breakers for token in self._texts.containing(breaker.encode())}
        return {token for token in found if token < self._vocab_size}
