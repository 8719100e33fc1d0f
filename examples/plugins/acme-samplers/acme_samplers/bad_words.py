"""Texts that an answer must not have in it, whichever tokens would spell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from acme_samplers.params import BadWordsParams
from acme_samplers.vocabulary import Vocabulary
from plugtron import Options
from plugtron.contracts import Candidates, Parts, Sampler
from plugtron.request import InferenceRequest, InferenceSequence

__all__ = ["BadWords"]


@dataclass(frozen=True, slots=True)
class _Forbidden:
    """The ids that must not follow where a text ends in `after`."""

    after: bytes
    ids: Tensor


@dataclass(frozen=True, slots=True)
class _Watched:
    """A sequence, the most bytes of its end that matter, and what is forbidden after which of them."""

    sequence: InferenceSequence
    longest: int
    forbidden: tuple[_Forbidden, ...]


class BadWords(Sampler):
    """Masks every token that would complete one of `acme_bad_words`.

    A word is completed by a token that has it inside, or that begins with the rest of it where the text ends with its
    beginning. Which tokens those are is looked up once for each word, as bytes: words may be cut anywhere, also within
    a character. A step compares the end of the answer with the beginnings of the words, and nothing else.
    """

    params = BadWordsParams
    reads_host_tokens = True

    def __init__(self, vocabulary: Vocabulary | None, device: torch.device) -> None:
        self._vocabulary = vocabulary
        self._device = device
        self._watched: dict[int, _Watched] = {}

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> BadWords:
        """Build from a spec."""
        del options
        vocabulary = None if parts.tokenizer is None else Vocabulary(parts.tokenizer)
        return cls(vocabulary, parts.runtime.device)

    def check(self, request: InferenceRequest) -> None:
        """Refuse words where nobody knows the tokens' texts."""
        words = self.asked(request.params).model_dump()["acme_bad_words"]
        if words is not None and self._vocabulary is None:
            raise ValueError("acme_bad_words: this checkpoint has no tokenizer that knows the texts of tokens")

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Look up what the words forbid."""
        words = [word.encode() for word in sequence.request.params.extra["acme_bad_words"]]
        forbidden = tuple(each for word in dict.fromkeys(words) for each in self._forbidden(word))
        self._watched[slot] = _Watched(sequence, max(map(len, words)) - 1, forbidden)

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._watched.pop(slot, None)

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask the tokens that would complete a word."""
        logits = candidates.logits.clone()
        for row, slot in enumerate(candidates.slot_ids):
            watched = self._watched.get(slot)
            if watched is None:
                continue
            end = self._end(watched)
            for each in watched.forbidden:
                if end.endswith(each.after):
                    _mask(logits[row], None if candidates.ids is None else candidates.ids[row], each.ids)
        return replace(candidates, logits=logits)

    def _forbidden(self, word: bytes) -> list[_Forbidden]:
        """What completes a word: after nothing of it, after its first byte, and so on."""
        assert self._vocabulary is not None, "check has refused the request"
        found = [(b"", self._vocabulary.containing(word))]
        found += [(word[:cut], self._vocabulary.beginning_with(word[cut:])) for cut in range(1, len(word))]
        return [_Forbidden(after, self._on_device(ids)) for after, ids in found if ids]

    def _on_device(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor(ids, device=self._device)

    def _end(self, watched: _Watched) -> bytes:
        """The last bytes of the answer, as many as may belong to a word."""
        assert self._vocabulary is not None, "check has refused the request"
        end = b""
        for token in reversed(watched.sequence.tokens):
            if len(end) >= watched.longest:
                break
            end = self._vocabulary.text(token) + end
        return end


def _mask(logits: Tensor, ids: Tensor | None, forbidden: Tensor) -> None:
    """Mask the candidates that are forbidden; without `ids` the column is the token."""
    if ids is None:
        logits.index_fill_(0, forbidden, float("-inf"))
    else:
        logits.masked_fill_(torch.isin(ids, forbidden), float("-inf"))
