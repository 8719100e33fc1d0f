"""The texts of all tokens, as bytes: which begin with something, and which have it inside."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from plugtron.contracts import Tokenizer

__all__ = ["TokenTexts"]


class TokenTexts:
    """The ordinary tokens of a tokenizer, and its special ones by their names or, without `special`, as no text."""

    def __init__(self, tokenizer: Tokenizer, *, special: bool) -> None:
        texts = [
            b"" if not special and tokenizer.is_special(token) else tokenizer.token_bytes(token)
            for token in range(tokenizer.vocab_size)
        ]
        self._texts = texts
        self._joined = b"".join(texts)
        self._ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        # Those that begin alike are neighbors in this order.
        self._order = sorted(range(len(texts)), key=texts.__getitem__)
        self._sorted = [texts[token] for token in self._order]

    def text(self, token: int) -> bytes:
        """The bytes of a token; none for ids that the tokenizer does not have."""
        return self._texts[token] if token < len(self._texts) else b""

    def beginning_with(self, start: bytes) -> list[int]:
        """The ids of the tokens that begin so."""
        first = bisect_left(self._sorted, start)
        last = bisect_left(self._sorted, True, lo=first, key=lambda text: not text.startswith(start))
        return self._order[first:last]

    def containing(self, part: bytes) -> list[int]:
        """The ids of the tokens that have this in them."""
        found: list[int] = []
        place = self._joined.find(part)
        while place >= 0:
            token = int(np.searchsorted(self._ends, place, side="right"))
            end = int(self._ends[token])
            if place + len(part) <= end:
                found.append(token)
                place = end - 1
            # Otherwise it is spread over two tokens that are neighbors here alone.
            place = self._joined.find(part, place + 1)
        return found
