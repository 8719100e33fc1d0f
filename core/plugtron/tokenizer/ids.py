"""No tokenizer: text is token ids, with spaces between them."""

from __future__ import annotations

from plugtron.contracts.parts import Parts
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import RequestError, TokenizerError
from plugtron.plugin.options import Options
from plugtron.tokenizer.options import NullOptions

__all__ = ["NullTokenizer"]


class NullTokenizer(Tokenizer):
    """Reads and writes ids as numbers.

    Args:
        vocab_size: ids are below it.
        eos_id: the id that ends a text, or None. Megatron's has one beyond the size that it is given.
    """

    def __init__(self, vocab_size: int, *, eos_id: int | None = None) -> None:
        self.vocab_size = vocab_size
        self.bos_id = None
        self.eos_ids = () if eos_id is None else (eos_id,)
        self.chat_template = None

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> NullTokenizer:
        """Build from `vocab_size`, or else from the size that the checkpoint says."""
        assert isinstance(options, NullOptions)
        configuration = {} if parts.model is None else parts.model.configuration
        size = options.vocab_size or configuration.get("vocab_size")
        if isinstance(size, int):
            return cls(size + 1, eos_id=size) if options.vocab_size is None and _is_megatron(parts) else cls(size)
        padded = configuration.get("padded_vocab_size")
        if not isinstance(padded, int):
            raise TokenizerError("tokenizer.options.vocab_size: the checkpoint does not say how many ids there are")
        return cls(padded)

    def encode(self, text: str, *, add_special: bool = True) -> list[int]:
        """Return the numbers in `text`.

        Raises:
            RequestError: a word is no number.
        """
        del add_special
        words = text.split()
        for word in words:
            if not (word.isascii() and word.isdecimal()):
                raise RequestError(f"{word!r} is no token id: with this tokenizer a text is ids with spaces between")
        return [int(word) for word in words]

    def token_bytes(self, token: int) -> bytes:
        """Return the id as a number with a space before it."""
        return f" {token}".encode()

    def is_special(self, token: int) -> bool:
        """Whether an id ends a text."""
        return token in self.eos_ids


def _is_megatron(parts: Parts) -> bool:
    return parts.model is not None and parts.model.format == "megatron"
