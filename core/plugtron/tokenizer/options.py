"""Options of the tokenizers that are read from files."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from plugtron.contracts.parts import Parts
from plugtron.errors import TokenizerError
from plugtron.options import Options

__all__ = ["PathOptions", "tokenizer_path"]


class PathOptions(Options):
    """Where the tokenizer is; by default with the checkpoint."""

    path: str | None = Field(default=None, description="a file or its folder")


def tokenizer_path(parts: Parts, options: PathOptions, name: str) -> Path:
    """Return the tokenizer's file: as the option says, or `name` in the checkpoint's folder.

    Raises:
        TokenizerError: it is not there.
    """
    if options.path is not None:
        path = Path(options.path).expanduser()
    elif parts.model is not None:
        path = parts.model.path
    else:
        raise TokenizerError("tokenizer.options.path: is required without a checkpoint")
    path = path / name if path.is_dir() else path
    if not path.is_file():
        raise TokenizerError(f"no tokenizer at {path}; tokenizer.options.path may name another file")
    return path
