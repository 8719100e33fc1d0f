"""What all tokenizers share that run on the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing

from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import TokenizerError
from plugtron.tokenizer.byte_level import byte_of_character, spelled_bytes
from plugtron.tokenizer.folder import write_special_tokens
from plugtron.tokenizer.spelling import Spelling

__all__ = ["LibraryTokenizer", "byte_level_spelling"]


class LibraryTokenizer(Tokenizer):
    """A tokenizer of the `tokenizers` library. Truncation and padding that its file asks for are switched off.

    Args:
        spelling: the bytes that a token adds to a text.
        special: the texts of tokens that mark structure, besides those that the library marks as special.
        prefix: what `add_special` puts in front.
        special_tokens: special tokens by field, for templates.
        chat_templates: by name; "default" is the one that is used.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        spelling: Spelling,
        bos_id: int | None,
        eos_ids: Sequence[int],
        prefix: Sequence[int],
        special: Collection[str] = (),
        special_tokens: Mapping[str, str] | None = None,
        chat_templates: Mapping[str, str] | None = None,
    ) -> None:
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._spelling = spelling
        self._prefix = list(prefix)
        added = backend.get_added_tokens_decoder()
        self._added = {token: entry.content for token, entry in added.items()}
        self._special = frozenset(token for token, entry in added.items() if entry.special or entry.content in special)
        self.bos_id = bos_id
        self.eos_ids = tuple(eos_ids)
        self.special_tokens = dict(special_tokens or {})
        self.chat_templates = dict(chat_templates or {})
        self.chat_template = self.chat_templates.get("default")

    @cached_property
    def vocab_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - computed when first asked
        """Ids are below this; gaps in a vocabulary count."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text: str, *, add_special: bool = True) -> list[int]:
        """Return the ids of `text`; special tokens written out in it are recognized.

        Raises:
            TokenizerError: the vocabulary has no token for a part of the text, and none for what is unknown.
        """
        try:
            ids = self._backend.encode(text, add_special_tokens=False).ids
        except (UnicodeEncodeError, TypeError):
            raise
        except Exception as error:  # the library raises nothing narrower
            raise TokenizerError(f"the tokenizer cannot encode {text[:40]!r}: {error}") from None
        if add_special and ids[: len(self._prefix)] != self._prefix:
            return self._prefix + ids
        return ids

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that an id stands for; an id without a token stands for none."""
        if token in self._special:
            return self._added[token].encode()
        if not 0 <= token < self.vocab_size:
            return b""
        # Added tokens that are text go through the decoder like any other, as in the library.
        piece = self._added.get(token) or self._backend.id_to_token(token)
        return b"" if piece is None else self._spelling(piece)

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


def byte_level_spelling() -> Spelling:
    """How byte-level BPE vocabularies spell a token, in GPT-2's characters for bytes."""
    table = byte_of_character()
    return lambda piece: spelled_bytes(piece, table)
