"""Tokenizers from the metadata of a GGUF file: kind "gpt2" (byte-level BPE) and kind "llama" (sentencepiece)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from plugtron.contracts.parts import Parts
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import TokenizerError
from plugtron.formats.gguf_header import read_header
from plugtron.formats.huggingface_folder import AddedText
from plugtron.plugin.options import Options
from plugtron.tokenizer.bpe import LibraryTokenizer, byte_level_spelling
from plugtron.tokenizer.options import PathOptions, tokenizer_path
from plugtron.tokenizer.pre_tokenizers import ADD_BOS, IGNORE_MERGES, PATTERNS
from plugtron.tokenizer.sentencepiece import SentencePieceTokenizer
from plugtron.tokenizer.sentencepiece_model import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, serialize

__all__ = ["GGUFTokenizer", "gguf_tokenizer"]

#: Tokens that end a turn or a text, whatever type a file gives them. Converters write one end-of-sequence id; models
#: end with any of these, and llama.cpp goes by their text too.
_ENDS = frozenset(
    {
        "<|eot_id|>",
        "<|eom_id|>",
        "<|im_end|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "<end_of_turn>",
        "<end_of_utterance>",
        "<EOT>",
        "_<EOT>",
        "[EOT]",
        "[EOS]",
        "<eos>",
        "<｜end▁of▁sentence｜>",
    }
)


class GGUFTokenizer(LibraryTokenizer):
    """A byte-level BPE tokenizer from a GGUF file."""

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> Tokenizer:
        """Build from `path`, or else from the checkpoint itself; whichever kind the file carries."""
        assert isinstance(options, PathOptions)
        return gguf_tokenizer(tokenizer_path(parts, options.path, "tokenizer.gguf"))


def gguf_tokenizer(path: Path) -> Tokenizer:
    """Build the tokenizer that a GGUF file carries.

    Raises:
        TokenizerError: it carries none, or one of another kind.
    """
    metadata = read_header(path, vocabulary=True).metadata
    kind = metadata.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise TokenizerError(
            f"{path}: tokenizer of kind {kind!r} (accepted: gpt2, llama); tokenizer.name may choose another"
        )
    _check_vocabulary(metadata, path)
    return _byte_level_bpe(metadata, path) if kind == "gpt2" else _sentencepiece(metadata)


def _check_vocabulary(metadata: dict[str, Any], path: Path) -> None:
    """See that lists go with each other, and that special tokens are in the vocabulary."""
    tokens = _get(metadata, "tokens")
    if not tokens:
        raise TokenizerError(f"{path}: tokenizer.ggml.tokens is missing")
    for key in ("scores", "token_type"):
        listed = _get(metadata, key)
        if listed is not None and len(listed) != len(tokens):
            raise TokenizerError(f"{path}: tokenizer.ggml.{key} has {len(listed)} entries for {len(tokens)} tokens")
    for key, value in metadata.items():
        if key.startswith("tokenizer.ggml.") and key.endswith("_token_id") and value >= len(tokens):
            raise TokenizerError(f"{path}: {key} is {value}, and there are {len(tokens)} tokens")


def _get(metadata: dict[str, Any], key: str, default: Any = None) -> Any:
    return metadata.get(f"tokenizer.ggml.{key}", default)


def _kinds(metadata: dict[str, Any]) -> list[int]:
    """The type of each token; one that ends a turn is a control token even where the file says otherwise."""
    tokens = _get(metadata, "tokens")
    written = _get(metadata, "token_type") or [NORMAL] * len(tokens)
    pieces = zip(tokens, written, strict=True)
    return [CONTROL if text in _ENDS and kind in (NORMAL, USER_DEFINED) else kind for text, kind in pieces]


def _eos_ids(metadata: dict[str, Any]) -> list[int]:
    """The ids that the file names, the main one first, then the control tokens that are known to end a turn."""
    named = [_get(metadata, key) for key in ("eos_token_id", "eot_token_id", "eom_token_id")]
    texts = {text: token for token, text in enumerate(_get(metadata, "tokens")) if text in _ENDS}
    if "<|return|>" in texts and "<|call|>" in texts:
        texts.pop("<|end|>", None)  # gpt-oss: ends one message of an answer that has several
    return list(dict.fromkeys(token for token in (*named, *sorted(texts.values())) if token is not None))


def _byte_level_bpe(metadata: dict[str, Any], path: Path) -> Tokenizer:
    tokens, kinds = _get(metadata, "tokens"), _kinds(metadata)
    name = _get(metadata, "pre", "default")
    if name not in PATTERNS:
        raise TokenizerError(
            f"{path}: pre-tokenizer {name!r} (accepted: {', '.join(sorted(PATTERNS))}); "
            "'tokenizer: {name: huggingface, options: {path: FOLDER}}' uses the original tokenizer.json instead"
        )
    merges = [(first, second) for first, _, second in (m.partition(" ") for m in _get(metadata, "merges") or ())]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    try:
        backend = Backend(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=name in IGNORE_MERGES))
    # The library raises bare Exception for merges that do not fit the vocabulary.
    except Exception as error:
        raise TokenizerError(f"{path}: tokens and merges do not fit: {error}") from None
    if name == "qwen2":  # as in its tokenizer.json; the file has no place for it
        backend.normalizer = normalizers.NFC()
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PATTERNS[name]]
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    added = [(tokens[index], kind) for index, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED)]
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in added if k == CONTROL])
    backend.add_tokens([AddedToken(t, normalized=False) for t, k in added if k == USER_DEFINED])
    bos: int | None = _get(metadata, "bos_token_id")
    wants_bos = _get(metadata, "add_bos_token", name in ADD_BOS)
    return GGUFTokenizer(
        backend,
        spelling=byte_level_spelling(),
        bos_id=bos,
        eos_ids=_eos_ids(metadata),
        prefix=[bos] if wants_bos and bos is not None else [],
        special_tokens=_special_tokens(metadata),
        chat_templates=_chat_templates(metadata),
    )


def _sentencepiece(metadata: dict[str, Any]) -> Tokenizer:
    unknown: int = _get(metadata, "unknown_token_id", 0)
    # Padding of a vocabulary is marked as unknown in some files, and a model may have one unknown piece only.
    kinds = [UNUSED if kind == UNKNOWN and token != unknown else kind for token, kind in enumerate(_kinds(metadata))]
    tokens = [text or f"[EMPTY_{token}]" for token, text in enumerate(_get(metadata, "tokens"))]
    model = serialize(
        tokens,
        _get(metadata, "scores") or [0.0] * len(tokens),
        kinds,
        add_dummy_prefix=_get(metadata, "add_space_prefix", True),
        byte_fallback=kinds.count(BYTE) == 256,
        unknown_id=unknown,
    )
    marked = [token for token, kind in enumerate(kinds) if kind in (UNKNOWN, CONTROL, USER_DEFINED)]
    return SentencePieceTokenizer(
        model,
        bos_id=_get(metadata, "bos_token_id", 1),
        eos_ids=_eos_ids(metadata) or [2],
        add_bos=_get(metadata, "add_bos_token", True),
        whole={token: AddedText(text=tokens[token], special=kinds[token] != USER_DEFINED) for token in marked},
        special_tokens=_special_tokens(metadata),
        chat_templates=_chat_templates(metadata),
    )


#: The keys of special tokens in a file, by the names that templates use.
_SPECIAL = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "sep_token": "seperator_token_id",  # as the format spells it
    "pad_token": "padding_token_id",
    "cls_token": "cls_token_id",
    "mask_token": "mask_token_id",
}


def _special_tokens(metadata: dict[str, Any]) -> dict[str, str]:
    ids = {name: _get(metadata, key) for name, key in _SPECIAL.items()}
    return {name: _get(metadata, "tokens")[token] for name, token in ids.items() if token is not None}


def _chat_templates(metadata: dict[str, Any]) -> dict[str, str]:
    """Templates by name: tokenizer.chat_template, and tokenizer.chat_template.NAME."""
    prefix = "tokenizer.chat_template"
    named = {key[len(prefix) + 1 :]: text for key, text in metadata.items() if key.startswith(f"{prefix}.")}
    return named | ({"default": metadata[prefix]} if prefix in metadata else {})
