"""GPT-2's byte-level BPE from its two files, vocab.json and merges.txt."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from plugtron.contracts.parts import Parts
from plugtron.errors import TokenizerError
from plugtron.plugin.options import Options
from plugtron.tokenizer.bpe import LibraryTokenizer, byte_level_spelling
from plugtron.tokenizer.options import GPT2Options, tokenizer_path

__all__ = ["GPT2Tokenizer"]

_END = "<|endoftext|>"


class GPT2Tokenizer(LibraryTokenizer):
    """Byte-level BPE as GPT-2 has it; `<|endoftext|>` begins and ends texts, and is not added to any."""

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> GPT2Tokenizer:
        """Build from the options' files, or else from those of the checkpoint."""
        assert isinstance(options, GPT2Options)
        vocabulary = tokenizer_path(parts, options.vocab_file, "vocab.json", "vocab_file")
        return cls.from_files(vocabulary, tokenizer_path(parts, options.merge_file, "merges.txt", "merge_file"))

    @classmethod
    def from_files(cls, vocabulary: Path, merges: Path) -> GPT2Tokenizer:
        """Build from both files.

        Raises:
            TokenizerError: they cannot be read, or do not fit each other.
        """
        try:
            model = models.BPE.from_file(str(vocabulary), str(merges))
        # The library raises bare Exception for whatever it does not understand.
        except Exception as error:
            raise TokenizerError(f"{vocabulary} and {merges} are no vocabulary of GPT-2's: {error}") from None
        backend = Backend(model)
        if not backend.get_vocab_size():
            raise TokenizerError(f"{vocabulary} has no tokens")
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        end = backend.token_to_id(_END)
        if end is not None:
            backend.add_special_tokens([AddedToken(_END, special=True, normalized=False)])
        return cls(
            backend,
            spelling=byte_level_spelling(),
            bos_id=end,
            eos_ids=[] if end is None else [end],
            prefix=[],
            special_tokens={} if end is None else {"bos_token": _END, "eos_token": _END},
        )
