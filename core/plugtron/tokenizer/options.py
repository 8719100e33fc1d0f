"""Options of the tokenizers that are read from files."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from plugtron.contracts.parts import Parts
from plugtron.errors import TokenizerError
from plugtron.formats.megatron_tokenizer_files import saved_file
from plugtron.plugin.options import Options, PathText

__all__ = [
    "GPT2Options",
    "NullOptions",
    "PathOptions",
    "SentencePieceOptions",
    "TiktokenOptions",
    "tokenizer_path",
]


class PathOptions(Options):
    """Where the tokenizer is; by default with the checkpoint."""

    path: PathText | None = Field(default=None, description="a file or its folder")


class GPT2Options(Options):
    """Where GPT-2's two files are; by default with the checkpoint, or where its training run had them."""

    vocab_file: PathText | None = Field(default=None, description="vocab.json")
    merge_file: PathText | None = Field(default=None, description="merges.txt")


class SentencePieceOptions(PathOptions):
    """Where the model is, and whether texts begin with BOS."""

    add_bos: bool | None = Field(
        default=None, description="begin texts with BOS; by default as the checkpoint's files say"
    )


class TiktokenOptions(PathOptions):
    """Where the file is, and what it does not say.

    `special_tokens` are names by id. Files of Megatron's (JSON) have `num_special_tokens` ids before all others.
    """

    pattern: str | None = Field(default=None, description="how text is cut into words: v1, v2, cl100k, or a regex")
    vocab_size: int | None = Field(default=None, gt=0, description="ids in all; of a longer file the rest is cut")
    num_special_tokens: int | None = Field(default=None, ge=0)
    special_tokens: dict[str, int] = Field(default_factory=dict)


class NullOptions(Options):
    """How many ids there are."""

    vocab_size: int | None = Field(default=None, gt=0, description="by default as many as the model has")


def tokenizer_path(parts: Parts, option: str | None, name: str, saved: str = "tokenizer_model") -> Path:
    """Return a tokenizer's file: as the option says, or `name` with the checkpoint.

    Args:
        saved: the field of the checkpoint's configuration that may say where it was at training.

    Raises:
        TokenizerError: it is not there.
    """
    if option is not None:
        path = Path(option).expanduser()
        path = path / name if path.is_dir() else path
    elif parts.model is None:
        raise TokenizerError(f"without a checkpoint, tokenizer.options must say where {name} is")
    elif parts.model.path.is_dir():
        path = saved_file(parts.model.path, parts.model.configuration.get(saved), name) or parts.model.path / name
    else:
        path = parts.model.path
    if not path.is_file():
        raise TokenizerError(f"no tokenizer at {path}; tokenizer.options may name another file")
    return path
