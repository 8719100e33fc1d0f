"""Tokenizers: text to ids and back, whole or one by one. Torch-free."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

__all__ = ["ByteDetokenizer", "Detokenizer", "Tokenizer"]


class Tokenizer(ABC):
    """Text to ids and back.

    Attributes:
        vocab_size: ids are below this.
        bos_id: the id that begins a text, or None.
        eos_ids: the ids that end one, the one that templates write first; generation stops at any of them.
        chat_template: a Jinja template for conversations, or None.
        chat_templates: the templates that a checkpoint has by name, such as "tool_use"; may be empty.
        special_tokens: special tokens by the names that templates use, "pad_token" and so on; may be empty.
    """

    vocab_size: int
    bos_id: int | None
    eos_ids: tuple[int, ...]
    chat_template: str | None
    chat_templates: Mapping[str, str] = MappingProxyType({})
    special_tokens: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def encode(self, text: str, *, add_special: bool = True) -> list[int]:
        """Return the ids of `text`; with `add_special`, BOS as the model wants it, once."""

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that an ordinary id stands for; for a special id those of its name."""

    @abstractmethod
    def is_special(self, token: int) -> bool:
        """Whether an id marks structure and is no text."""

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Return the text of `ids` as a continuation: a first word keeps the space that its token has.

        Bytes that are no UTF-8 become U+FFFD.
        """
        kept = (token for token in ids if not (skip_special and self.is_special(token)))
        return b"".join(map(self.token_bytes, kept)).decode("utf-8", errors="replace")

    def save(self, folder: Path) -> bool:
        """Write the files that a Hugging Face folder keeps a tokenizer in; False when it has no such form."""
        del folder
        return False

    def incremental(self, *, skip_special: bool = True) -> Detokenizer:
        """Return a detokenizer for one sequence; all pieces together equal `decode` of all ids."""
        return ByteDetokenizer(self, skip_special=skip_special)


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
