"""The texts of all tokens, in an order in which those that begin alike are neighbors."""

from __future__ import annotations

from bisect import bisect_left

from plugtron.contracts import Tokenizer

__all__ = ["Vocabulary"]


class Vocabulary:
    """Answers which tokens begin with some bytes, and which have them inside. Special tokens are no text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._texts = [
            b"" if tokenizer.is_special(token) else tokenizer.token_bytes(token)
            for token in range(tokenizer.vocab_size)
        ]
        self._order = sorted(range(len(self._texts)), key=self._texts.__getitem__)
        self._sorted = [self._texts[token] for token in self._order]

    def text(self, token: int) -> bytes:
        """The bytes of a token; none for special ones, and for ids that the tokenizer does not have."""
        return self._texts[token] if token < len(self._texts) else b""

    def beginning_with(self, start: bytes) -> list[int]:
        """The ids of the tokens that begin so."""
        first = bisect_left(self._sorted, start)
        last = bisect_left(self._sorted, True, lo=first, key=lambda text: not text.startswith(start))
        return self._order[first:last]

    def containing(self, part: bytes) -> list[int]:
        """The ids of the tokens that have this in them."""
        return [token for token, text in enumerate(self._texts) if part in text]
