"""Tokens that are taken whole wherever their text stands, as the `tokenizers` library finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["AddedText", "AddedTokenSplitter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedText:
    """A token that was added to a vocabulary.

    Args:
        special: it marks structure and is no text.
        lstrip, rstrip: whitespace before or behind it belongs to it.
        single_word: it is no part of a longer word.
        normalized: it is looked for in the text as the normalizer leaves it; None: unless it is special.
    """

    text: str
    special: bool = True
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool | None = None

    @property
    def is_normalized(self) -> bool:
        """`normalized` with its default settled."""
        return not self.special if self.normalized is None else self.normalized


class AddedTokenSplitter:
    """Cuts a text at added tokens: the leftmost first, of several at one place the longest.

    Args:
        tokens: what to look for, by id.
    """

    def __init__(self, tokens: Mapping[int, AddedText]) -> None:
        self._found = {entry.text: (token, entry) for token, entry in tokens.items() if entry.text}
        texts = sorted(self._found, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, texts))) if texts else None

    def split(self, text: str) -> Iterator[int | str]:
        """Yield ids of added tokens and the texts between them, none of which is empty."""
        end = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            token, entry = self._found[match[0]]
            if entry.single_word and _inside_word(text, match):
                continue
            start = match.start()
            if start < end:
                continue  # the whitespace that another token took
            while entry.lstrip and start > end and text[start - 1].isspace():
                start -= 1
            if start > end:
                yield text[end:start]
            yield token
            end = match.end()
            while entry.rstrip and end < len(text) and text[end].isspace():
                end += 1
        if end < len(text):
            yield text[end:]


def _inside_word(text: str, match: re.Match[str]) -> bool:
    before, behind = text[max(match.start() - 1, 0) : match.start()], text[match.end() : match.end() + 1]
    return any(side.isalnum() or side == "_" for side in (before, behind))
