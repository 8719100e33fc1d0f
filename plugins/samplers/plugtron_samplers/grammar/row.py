"""One sequence's place in its grammar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from plugtron_samplers.grammar.library import GrammarError, reason

if TYPE_CHECKING:
    from llguidance import LLMatcher

    from plugtron_samplers.grammar.cache import GrammarCache
    from plugtron_samplers.grammar.source import GrammarSource

__all__ = ["GrammarRow"]


class GrammarRow:
    """Follows a sequence's tokens, and says which may come next. For one thread at a time.

    Args:
        ends: the ids that may be drawn where the answer is complete.
    """

    def __init__(self, cache: GrammarCache, source: GrammarSource, ends: Sequence[int]) -> None:
        self._cache = cache
        self._source = source
        self._ends = frozenset(ends)
        self._tokens: list[int] = []
        self._matcher: LLMatcher | None = None
        self._ended = False
        self._alone = False
        self._compiled = cache.get(source)

    def advance(self, tokens: Iterable[int]) -> bytes:
        """Take in drawn tokens, and return the next ones that may come: a bit for each id, the lowest first.

        Raises:
            GrammarError: the grammar needs more than its limits, or a token is none that could have come.
        """
        if self._matcher is None:
            self._matcher = self._compiled.result().deep_copy()
        # What comes after the end of a sequence is looked at by nobody.
        fresh = [token for token in tokens if not self._has_ended(token)]
        self._tokens += fresh
        mask = self._mask(self._matcher, fresh)
        if self._matcher.is_error() and not self._alone:
            self._alone, self._matcher = True, self._cache.compile_alone(self._source)
            mask = self._mask(self._matcher, self._tokens)
        if self._matcher.is_error():
            raise GrammarError(f"{self._source.parameter}: cannot go on: {reason(self._matcher.get_error())}")
        end = self._cache.vocab_size
        if self._ended or mask[end >> 3] & (1 << (end & 7)):
            for token in self._ends:
                mask[token >> 3] |= 1 << (token & 7)
        return bytes(mask)

    def _has_ended(self, token: int) -> bool:
        self._ended = self._ended or token in self._ends
        return self._ended

    @staticmethod
    def _mask(matcher: LLMatcher, tokens: Sequence[int]) -> bytearray:
        for token in tokens:
            if not matcher.consume_token(token):
                break
        return bytearray(matcher.compute_bitmask())
