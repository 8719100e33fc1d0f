"""Drafts from the text itself: what followed an earlier occurrence of the last few tokens (prompt lookup decoding)."""

from __future__ import annotations

from collections.abc import Mapping

from plugtron.request import InferenceSequence
from plugtron_controllers.speculative.drafter import Drafter, Wanted

__all__ = ["NGramDrafter"]

#: How many earlier places of the same tokens are compared.
_PLACES = 8


class NGramDrafter(Drafter):
    """Looks for the last `shortest` tokens or more, in prompt and answer; the longest match wins, then the latest.

    Args:
        shortest: tokens that must be the same.
        longest: tokens that are compared at the most.
    """

    def __init__(self, shortest: int = 2, longest: int = 5) -> None:
        self._shortest = shortest
        self._longest = longest
        self._texts: dict[int, _Text] = {}

    def start(self, sequence: InferenceSequence) -> None:
        """Read the prompt."""
        assert sequence.slot is not None
        text = self._texts[sequence.slot] = _Text(self._shortest)
        text.extend(sequence.request.prompt_tokens)

    def end(self, slot: int) -> None:
        """Forget a text."""
        self._texts.pop(slot, None)

    def propose(self, wanted: list[Wanted]) -> Mapping[int, tuple[int, ...]]:
        """What followed the best match."""
        found: dict[int, tuple[int, ...]] = {}
        for sequence, most in wanted:
            assert sequence.slot is not None
            text = self._texts[sequence.slot]
            text.extend(sequence.tokens[len(text.tokens) - len(sequence.request.prompt_tokens) :])
            draft = text.continuation(most, self._longest)
            if draft:
                found[sequence.slot] = draft
        return found


class _Text:
    """Tokens, and where each run of `shortest` of them has ended."""

    def __init__(self, shortest: int) -> None:
        self.tokens: list[int] = []
        self._shortest = shortest
        self._ends: dict[tuple[int, ...], list[int]] = {}

    def extend(self, tokens: list[int]) -> None:
        for token in tokens:
            self.tokens.append(token)
            end = len(self.tokens)
            if end >= self._shortest:
                ends = self._ends.setdefault(tuple(self.tokens[end - self._shortest :]), [])
                ends.append(end)
                if len(ends) > _PLACES + 1:
                    del ends[0]

    def continuation(self, count: int, longest: int) -> tuple[int, ...]:
        """The tokens after the best earlier place, at most `count`; none where there is no such place."""
        last = len(self.tokens)
        ends = self._ends.get(tuple(self.tokens[-self._shortest :]), ())
        best, place = 0, 0
        for end in reversed(ends):
            if end < last:
                length = self._match(end, longest)
                if length > best:
                    best, place = length, end
        return tuple(self.tokens[place : place + count]) if best else ()

    def _match(self, end: int, longest: int) -> int:
        """How many tokens before `end` are those at the end of the text."""
        length = self._shortest
        while length < longest and length < end and self.tokens[end - length - 1] == self.tokens[-length - 1]:
            length += 1
        return length
