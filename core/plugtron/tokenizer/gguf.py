"""Tokenizers from the metadata of a GGUF file: kind "gpt2" (byte-level BPE) and kind "llama" (sentencepiece)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from plugtron.checkpoint.gguf_header import read_header
from plugtron.contracts.parts import Parts
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import TokenizerError
from plugtron.options import Options
from plugtron.tokenizer.bpe import LibraryTokenizer
from plugtron.tokenizer.options import PathOptions, tokenizer_path
from plugtron.tokenizer.pre_tokenizers import PATTERNS
from plugtron.tokenizer.sentencepiece import SentencePieceTokenizer
from plugtron.tokenizer.sentencepiece_model import CONTROL, USER_DEFINED, serialise

__all__ = ["GGUFTokenizer", "gguf_tokenizer"]

#: Kinds of BPE vocabularies that take a whole word that is a token before they look at merges.
_IGNORE_MERGES = ("llama-bpe", "llama3", "llama-v3", "tekken")


class GGUFTokenizer(LibraryTokenizer):
    """A byte-level BPE tokenizer from a GGUF file."""

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> Tokenizer:
        """Build from `path`, or else from the checkpoint itself; whichever kind the file carries."""
        assert isinstance(options, PathOptions)
        return gguf_tokenizer(tokenizer_path(parts, options, "tokenizer.gguf"))


def gguf_tokenizer(path: Path) -> Tokenizer:
    """Build the tokenizer that a GGUF file carries.

    Raises:
        TokenizerError: it carries none, or one of another kind.
    """
    metadata = read_header(path, vocabulary=True).metadata
    kind = metadata.get("tokenizer.ggml.model")
    if kind == "gpt2":
        return _byte_level_bpe(metadata, path)
    if kind == "llama":
        return _sentencepiece(metadata)
    raise TokenizerError(
        f"{path}: tokenizer of kind {kind!r} (accepted: gpt2, llama); tokenizer.name may choose another"
    )


def _get(metadata: dict[str, Any], key: str, default: Any = None) -> Any:
    return metadata.get(f"tokenizer.ggml.{key}", default)


def _eos_ids(metadata: dict[str, Any]) -> list[int]:
    ids = (_get(metadata, key) for key in ("eos_token_id", "eot_token_id", "eom_token_id"))
    return sorted({token for token in ids if token is not None})


def _byte_level_bpe(metadata: dict[str, Any], path: Path) -> Tokenizer:
    tokens, kinds = _get(metadata, "tokens"), _get(metadata, "token_type")
    name = _get(metadata, "pre", "default")
    if name not in PATTERNS:
        raise TokenizerError(
            f"{path}: pre-tokenizer {name!r} (accepted: {', '.join(sorted(PATTERNS))}); "
            "'tokenizer: {name: huggingface, options: {path: FOLDER}}' uses the original tokenizer.json instead"
        )
    merges = [tuple(merge.split(" ", 1)) for merge in _get(metadata, "merges")]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=name in _IGNORE_MERGES))
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PATTERNS[name]]
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    added = [(tokens[index], kind) for index, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED)]
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in added if k == CONTROL])
    backend.add_tokens([AddedToken(t, normalized=False) for t, k in added if k == USER_DEFINED])
    bos: int | None = _get(metadata, "bos_token_id")
    # Files of Llama 3 leave the flag out and mean yes, as llama.cpp knows.
    wants_bos = _get(metadata, "add_bos_token", name in _IGNORE_MERGES)
    return GGUFTokenizer(
        backend,
        byte_level=True,
        bos_id=bos,
        eos_ids=_eos_ids(metadata),
        prefix=[bos] if wants_bos and bos is not None else [],
        chat_template=metadata.get("tokenizer.chat_template"),
    )


def _sentencepiece(metadata: dict[str, Any]) -> Tokenizer:
    tokens = _get(metadata, "tokens")
    kinds = _get(metadata, "token_type") or [1] * len(tokens)
    model = serialise(
        tokens,
        _get(metadata, "scores") or [0.0] * len(tokens),
        kinds,
        add_dummy_prefix=_get(metadata, "add_space_prefix", True),
        unknown_id=_get(metadata, "unknown_token_id", 0),
    )
    return SentencePieceTokenizer(
        model,
        bos_id=_get(metadata, "bos_token_id", 1),
        eos_ids=_eos_ids(metadata) or [2],
        add_bos=_get(metadata, "add_bos_token", True),
        chat_template=metadata.get("tokenizer.chat_template"),
        added={},
    )
