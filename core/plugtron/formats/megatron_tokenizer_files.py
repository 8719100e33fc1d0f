"""Where the files are now that a training run saved the paths of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["saved_file", "saved_tokenizer"]

#: For each of Megatron's tokenizers: the saved arguments that name its files, and what they are called by default.
_FILES: dict[str, tuple[tuple[str, str], ...]] = {
    "GPT2BPETokenizer": (("vocab_file", "vocab.json"), ("merge_file", "merges.txt")),
    "SentencePieceTokenizer": (("tokenizer_model", "tokenizer.model"),),
    "GPTSentencePieceTokenizer": (("tokenizer_model", "tokenizer.model"),),
    "Llama2Tokenizer": (("tokenizer_model", "tokenizer.model"),),
    "HuggingFaceTokenizer": (("tokenizer_model", "tokenizer.json"),),
    "TikTokenizer": (("tokenizer_model", "tokenizer.model"),),
    "NullTokenizer": (),
}


def saved_file(folder: Path, saved: Any, name: str) -> Path | None:
    """Return the file that was at `saved`, or one of its name or called `name` in the checkpoint's folder."""
    candidates = [folder / name]
    if isinstance(saved, str) and saved:
        written = Path(saved)
        candidates = [written, written / name, folder / written.name, *candidates]
    return next((candidate for candidate in candidates if _is_file(candidate)), None)


def _is_file(path: Path) -> bool:
    """Whether there is a file. A path of another machine may lead where this user must not look."""
    try:
        return path.is_file()
    except OSError:
        return False


def saved_tokenizer(folder: Path, arguments: Mapping[str, Any]) -> str | None:
    """The kind of tokenizer that saved arguments name, if it is known and its files are at hand."""
    kind = arguments.get("tokenizer_type")
    if not isinstance(kind, str) or kind not in _FILES:
        return None
    there = [saved_file(folder, arguments.get(field), name) for field, name in _FILES[kind]]
    return None if None in there else str(kind)
