"""What all tokenizers share that run on the `tokenizers` library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing

from plugtron.contracts.tokenizer import Tokenizer
from plugtron.tokenizer.byte_level import byte_of_character, spelled_bytes
from plugtron.tokenizer.folder import write_special_tokens

__all__ = ["LibraryTokenizer", "piece_bytes"]

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class LibraryTokenizer(Tokenizer):
    """A tokenizer of the `tokenizers` library.

    Args:
        byte_level: tokens spell bytes as GPT-2 does; else they are sentencepiece's, with ▁ for a space.
        prefix: what `add_special` puts in front.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        byte_level: bool,
        bos_id: int | None,
        eos_ids: Sequence[int],
        prefix: Sequence[int],
        chat_template: str | None,
    ) -> None:
        self._backend = backend
        self._byte_level = byte_level
        self._prefix = list(prefix)
        self._characters = byte_of_character()
        added = backend.get_added_tokens_decoder()
        self._added = {token: entry.content for token, entry in added.items()}
        self._special = frozenset(token for token, entry in added.items() if entry.special)
        self.bos_id = bos_id
        self.eos_ids = tuple(eos_ids)
        self.chat_template = chat_template

    @cached_property
    def vocab_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - computed when first asked
        """Ids are below this; gaps in a vocabulary count."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text: str, *, add_special: bool = True) -> list[int]:
        """Return the ids of `text`; special tokens written out in it are recognised."""
        ids = self._backend.encode(text, add_special_tokens=False).ids
        if add_special and ids[: len(self._prefix)] != self._prefix:
            return self._prefix + ids
        return ids

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that an id stands for; an id without a token stands for none."""
        if token in self._added:
            return self._added[token].encode()
        piece = self._backend.id_to_token(token)
        if piece is None:
            return b""
        return spelled_bytes(piece, self._characters) if self._byte_level else piece_bytes(piece)

    def is_special(self, token: int) -> bool:
        """Whether an id is an added token that is marked as special."""
        return token in self._special

    def save(self, folder: Path) -> bool:
        """Write tokenizer.json, and beside it what it has no place for."""
        backend = Backend.from_str(self._backend.to_str())
        if self._prefix and backend.post_processor is None:
            names = [self._added.get(token) or str(backend.id_to_token(token)) for token in self._prefix]
            special = list(zip(names, self._prefix, strict=True))
            backend.post_processor = TemplateProcessing(single=" ".join([*names, "$A"]), special_tokens=special)
        backend.save(str(folder / "tokenizer.json"))
        write_special_tokens(folder, self)
        return True


def piece_bytes(piece: str) -> bytes:
    """The bytes of a sentencepiece token: <0xAB> is a byte, ▁ a space."""
    if match := _BYTE_PIECE.fullmatch(piece):
        return bytes([int(match[1], 16)])
    return piece.replace("▁", " ").encode()
