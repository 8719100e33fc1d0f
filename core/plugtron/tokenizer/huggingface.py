"""Tokenizers from the tokenizer.json of a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from plugtron.contracts.parts import Parts
from plugtron.errors import TokenizerError
from plugtron.options import Options
from plugtron.tokenizer.bpe import LibraryTokenizer
from plugtron.tokenizer.folder import SpecialTokens, read_special_tokens
from plugtron.tokenizer.options import PathOptions, tokenizer_path

__all__ = ["HuggingFaceTokenizer"]


class HuggingFaceTokenizer(LibraryTokenizer):
    """Reads tokenizer.json, and beside it what tokenizer_config.json and generation_config.json say."""

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> HuggingFaceTokenizer:
        """Build from `path`, or else from the checkpoint's folder."""
        assert isinstance(options, PathOptions)
        return cls.from_file(tokenizer_path(parts, options.path, "tokenizer.json"))

    @classmethod
    def from_file(cls, file: Path) -> HuggingFaceTokenizer:
        """Build from a tokenizer.json, whatever it is called.

        Raises:
            TokenizerError: it cannot be read, or is of a kind that text cannot be rebuilt from.
        """
        try:
            text = file.read_text(encoding="utf-8")
            backend = Backend.from_str(text)
        # The library raises bare Exception for whatever it does not understand.
        except Exception as error:
            raise TokenizerError(f"{file} cannot be read: {error}") from None
        special = read_special_tokens(file.parent)
        return cls(
            backend,
            byte_level=_is_byte_level(json.loads(text), file),
            bos_id=_id(backend, special.bos),
            eos_ids=_eos_ids(backend, special),
            prefix=_prefix(backend),
            chat_template=special.chat_template,
        )


def _id(backend: Backend, token: str | None) -> int | None:
    return None if token is None else backend.token_to_id(token)


def _eos_ids(backend: Backend, special: SpecialTokens) -> list[int]:
    """The named one first, which templates write; then all that generation ends at."""
    named = _id(backend, special.eos)
    return list(dict.fromkeys([*([] if named is None else [named]), *special.eos_ids]))


def _prefix(backend: Backend) -> list[int]:
    """What the post-processor puts before a text. Flags in tokenizer_config.json are for files of other kinds."""
    bare = backend.encode("a", add_special_tokens=False).ids
    whole = backend.encode("a", add_special_tokens=True).ids
    starts = (start for start in range(len(whole) + 1) if whole[start : start + len(bare)] == bare)
    return whole[: next(starts, 0)]


def _is_byte_level(values: dict[str, Any], file: Path) -> bool:
    """Whether tokens spell bytes, or are sentencepiece's; told from the decoder."""
    decoder = values.get("decoder") or {}
    kinds = {decoder.get("type")} | {part.get("type") for part in decoder.get("decoders", [])}
    if "ByteLevel" in kinds:
        return True
    if kinds & {"Metaspace", "ByteFallback", "Replace"}:
        return False
    raise TokenizerError(f"{file}: decoder {decoder.get('type')!r} (accepted: ByteLevel, Metaspace, ByteFallback)")
