"""Where tokens stand in a text."""

from __future__ import annotations

from plugtron.contracts.tokenizer import Tokenizer

__all__ = ["TextPlaces"]


class TextPlaces:
    """Says of tokens in order at which character of their text each begins.

    A token within a character begins where that does; one that the text leaves out, where the next will.

    Args:
        tokenizer: None: tokens are shown by their ids, and stand where these do.
        skip_special: whether the text leaves special tokens out.
    """

    def __init__(self, tokenizer: Tokenizer | None, *, skip_special: bool) -> None:
        self._texts = None if tokenizer is None else tokenizer.incremental(skip_special=skip_special)
        self._length = 0

    def add(self, token: int, shown: str) -> int:
        """Add a token, which is shown as a text; return its place."""
        place = self._length
        self._length += len(shown if self._texts is None else self._texts.push(token))
        return place
