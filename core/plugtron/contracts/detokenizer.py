"""Text from ids that arrive one by one: bytes are held back until they are whole characters."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugtron.contracts.tokenizer import Tokenizer

__all__ = ["ByteDetokenizer", "Detokenizer"]


class Detokenizer(ABC):
    """Turns ids into text one by one; what a later id could still change is held back."""

    @abstractmethod
    def push(self, token: int) -> str:
        """Add an id; return the text that is now certain."""

    @abstractmethod
    def finish(self) -> str:
        """Return what was held back."""


class ByteDetokenizer(Detokenizer):
    """Decodes the bytes of ids as one stream of UTF-8; a broken sequence becomes U+FFFD, as in `Tokenizer.decode`."""

    def __init__(self, tokenizer: Tokenizer, *, skip_special: bool) -> None:
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """Add an id; return the text that is now certain."""
        if self._skip_special and self._tokenizer.is_special(token):
            return ""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def finish(self) -> str:
        """Return what was held back."""
        return self._decoder.decode(b"", final=True)
