"""Texts that an answer never has in it, whichever tokens would spell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler, Tokenizer
from plugtron.request import InferenceRequest, InferenceSequence, SamplingParams
from plugtron_samplers.at_tokens import mask_at
from plugtron_samplers.id_lists import id_table, owners
from plugtron_samplers.params import BadWordsParams
from plugtron_samplers.token_texts import TokenTexts

__all__ = ["BadWords"]


@dataclass(frozen=True, slots=True)
class _Watched:
    """A sequence, and the ids that must not follow where its text ends so; the longest such end has `longest` bytes."""

    sequence: InferenceSequence
    texts: TokenTexts
    longest: int
    forbidden: Mapping[bytes, Tensor]


class BadWords(Sampler):
    """Masks every token that would complete one of `bad_words`.

    A word is completed by a token that has it inside, or that begins with the rest of it where the answer's text ends
    with its beginning. Both are looked at as bytes: words may be cut anywhere, also within a character. Special tokens
    have the text that they have in the answer: none, or with skip_special_tokens: false their names. The prompt is not
    looked at, so that a word that it begins may be completed, unless `echo` puts it into the text.
    """

    params = BadWordsParams
    reads_host_tokens = True

    def __init__(self, tokenizer: Tokenizer | None, vocab_size: int, device: torch.device) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._device = device
        self._watched: dict[int, _Watched] = {}

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> BadWords:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.tokenizer, parts.wrapper.info.vocab_size, parts.runtime.device)

    def check(self, request: InferenceRequest) -> None:
        """Refuse words where nobody knows the tokens' texts, and words that forbid everything from the start."""
        params = request.params
        if not params.bad_words:
            return
        if self._tokenizer is None:
            raise ValueError("bad_words: this checkpoint has no tokenizer that knows the texts of tokens")
        if params.skip_special_tokens is False and params.spaces_between_special_tokens:
            raise ValueError("bad_words: cannot be looked for where spaces are put between special tokens")
        texts = self._completing(params)
        forbidden = {token for word in params.bad_words for token in texts.containing(word.encode())}
        allowed = params.allowed_token_ids or range(self._vocab_size)
        if forbidden.issuperset(allowed):
            named = "each of allowed_token_ids" if params.allowed_token_ids else "each token"
            raise ValueError(f"bad_words: {named} has one of them in it, so that none could be drawn")

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Look up what the words forbid: after nothing of them, after their first byte, and so on."""
        params = sequence.request.params
        texts, found = self._completing(params), dict[bytes, set[int]]()
        words = [word.encode() for word in params.bad_words or ()]
        for word in words:
            found.setdefault(b"", set()).update(texts.containing(word))
            for cut in range(1, len(word)):
                found.setdefault(word[:cut], set()).update(texts.beginning_with(word[cut:]))
        forbidden = {after: self._on_device(ids) for after, ids in found.items() if ids}
        shown = self._all_texts if params.skip_special_tokens is False else self._plain_texts
        self._watched[slot] = _Watched(sequence, shown, max(map(len, words)) - 1, forbidden)

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._watched.pop(slot, None)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """A mask of the tokens that would complete a word."""
        del slots
        found = [
            None if watched is None else _completing_tokens(watched) for watched in map(self._watched.get, slot_ids)
        ]
        masked = [torch.cat(each) if each else None for each in found]
        ids = id_table([each for each in masked if each is not None])
        return RowStage(op=RowOp.MASK, rows=owners(masked), ids=ids)

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask the tokens that would complete a word."""
        logits = candidates.logits.clone()
        for row, slot in enumerate(candidates.slot_ids):
            watched = self._watched.get(slot)
            for ids in () if watched is None else _completing_tokens(watched):
                mask_at(logits[row], None if candidates.ids is None else candidates.ids[row], ids)
        return replace(candidates, logits=logits)

    def _completing(self, params: SamplingParams) -> TokenTexts:
        """The texts that tokens may add: a stop text that is a special token is added only where it is asked for."""
        named = params.skip_special_tokens is False or params.include_stop_str_in_output
        return self._all_texts if named else self._plain_texts

    @cached_property
    def _plain_texts(self) -> TokenTexts:
        assert self._tokenizer is not None, "check has refused the request"
        return TokenTexts(self._tokenizer, special=False)

    @cached_property
    def _all_texts(self) -> TokenTexts:
        assert self._tokenizer is not None, "check has refused the request"
        return TokenTexts(self._tokenizer, special=True)

    def _on_device(self, ids: set[int]) -> Tensor:
        kept = sorted(token for token in ids if token < self._vocab_size)
        return torch.tensor(kept, dtype=torch.int64, device=self._device)


def _completing_tokens(watched: _Watched) -> list[Tensor]:
    """The tokens that would complete a word, [T] each, by what the answer ends with."""
    end = _end(watched)
    found = [watched.forbidden.get(end[len(end) - length :]) for length in range(len(end) + 1)]
    return [ids for ids in found if ids is not None]


def _end(watched: _Watched) -> bytes:
    """The last bytes of the answer, as many as may belong to a word."""
    end = b""
    sequence = watched.sequence
    shown = sequence.all_tokens if sequence.request.params.echo else sequence.tokens
    for token in reversed(shown):
        if len(end) >= watched.longest:
            break
        end = watched.texts.text(token) + end
    return end[len(end) - watched.longest :] if len(end) > watched.longest else end
