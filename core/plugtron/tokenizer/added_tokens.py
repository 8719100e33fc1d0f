"""Tokens that are taken whole wherever their text stands, as the `tokenizers` library finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from plugtron.formats.huggingface_folder import AddedText

__all__ = ["AddedTokenSplitter"]


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
