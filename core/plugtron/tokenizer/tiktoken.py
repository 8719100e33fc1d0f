"""Tokenizers from tiktoken's files, run by the tiktoken library: a token in base64 and its rank on each line.

Megatron keeps the same in JSON, a list of {rank, token_bytes, token_str}, behind a block of special tokens.
"""

from __future__ import annotations

import base64
import binascii
import json
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiktoken

from plugtron.contracts.parts import Parts
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import TokenizerError
from plugtron.plugin.options import Options
from plugtron.tokenizer.options import TiktokenOptions, tokenizer_path

__all__ = ["TiktokenTokenizer"]

_MEGATRON_SPECIAL = ("<unk>", "<s>", "</s>", "<mask>", "<pad>", "<cls>", "<sep>")
_MEGATRON_SPECIALS = 1000
_MEGATRON_SIZE = 2**17
_BOS, _EOS = ("<s>", "<|begin_of_text|>"), ("</s>", "<|end_of_text|>", "<|endoftext|>", "<|eot_id|>")
#: How words are cut before merging: Megatron's v1 and v2, and OpenAI's for cl100k, which Llama 3's is too but for case.
_PATTERNS = {
    "v1": r"[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "v2": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "cl100k": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}


class TiktokenTokenizer(Tokenizer):
    """Byte-level BPE by ranks. Special tokens written out in a text are recognized.

    Args:
        ranks: ids by the bytes of ordinary tokens.
        special: ids by the names of special tokens.
        pattern: the regular expression that cuts text into words.
    """

    def __init__(self, ranks: Mapping[bytes, int], special: Mapping[str, int], pattern: str) -> None:
        missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
        if missing:  # the library would abort on a text with one of them
            raise TokenizerError(f"no token for byte {missing[0]}: this is no whole vocabulary of tiktoken's")
        if len({*ranks.values(), *special.values()}) != len(ranks) + len(special):
            raise TokenizerError("two tokens have one id: the special tokens and the others overlap")
        try:
            self._encoding = tiktoken.Encoding(
                "plugtron", pat_str=pattern, mergeable_ranks=dict(ranks), special_tokens=dict(special)
            )
        except (ValueError, AssertionError) as error:
            raise TokenizerError(f"tokens, special tokens and pattern do not fit: {error}") from None
        self._bytes = {token: text for text, token in ranks.items()}
        self._special = {token: name.encode() for name, token in special.items()}
        self.vocab_size = max(*self._bytes, *self._special, 0) + 1
        self.bos_id = next((special[name] for name in _BOS if name in special), None)
        self.eos_ids = tuple(special[name] for name in _EOS if name in special)
        self.chat_template = None

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> TiktokenTokenizer:
        """Build from `path`, or else from what the checkpoint says."""
        assert isinstance(options, TiktokenOptions)
        saved = {} if parts.model is None else parts.model.configuration
        file = tokenizer_path(parts, options.path, "tokenizer.model")
        data = _read(file)
        if data.lstrip()[:1] == b"[":
            count = _first(options.num_special_tokens, saved.get("tiktoken_num_special_tokens"), _MEGATRON_SPECIALS)
            size = _first(options.vocab_size, saved.get("vocab_size"), _MEGATRON_SIZE)
            names = saved.get("tiktoken_special_tokens") or saved.get("tokenizer_special_tokens") or _MEGATRON_SPECIAL
            if not all(isinstance(number, int) for number in (count, size)) or not isinstance(names, list | tuple):
                raise TokenizerError(f"{file}: the checkpoint's arguments for it are no numbers and names")
            special = {str(name): token for token, name in enumerate(names)}
            special |= {f"<SPECIAL_{token}>": token for token in range(len(special), count)}
            ranks = _json_ranks(data, file, first=count, limit=size - count)
            pattern = _first(options.pattern, saved.get("tiktoken_pattern"), "v2")
        else:
            ranks, special, pattern = _line_ranks(data, file), {}, options.pattern or "cl100k"
        return cls(ranks, {**special, **options.special_tokens}, _PATTERNS.get(pattern, pattern))

    def encode(self, text: str, *, add_special: bool = True) -> list[int]:
        """Return the ids of `text`; nothing is put in front of it."""
        del add_special
        return self._encoding.encode(text, allowed_special="all")

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that an id stands for; an id without a token stands for none."""
        return self._bytes.get(token) or self._special.get(token, b"")

    def is_special(self, token: int) -> bool:
        """Whether an id is a special token."""
        return token in self._special


def _first(*values: Any) -> Any:
    """The first that is given."""
    return next(value for value in values if value is not None)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TokenizerError(f"{file} cannot be read: {error.strerror}") from None


def _json_ranks(data: bytes, file: Path, *, first: int, limit: int) -> dict[bytes, int]:
    try:
        entries = json.loads(data)[:limit]
        return {
            base64.b64decode(entry["token_bytes"], validate=True): operator.index(entry["rank"]) + first
            for entry in entries
        }
    except (ValueError, TypeError, KeyError) as error:
        raise TokenizerError(f"{file} is no vocabulary of tiktoken's: {error!r}") from None


def _line_ranks(data: bytes, file: Path) -> dict[bytes, int]:
    ranks = {}
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise TokenizerError(f"{file}:{number}: a token in base64 and its rank were expected") from None
    return ranks
