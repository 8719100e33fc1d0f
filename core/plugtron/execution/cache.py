"""Where packed weights are kept between starts: one file per model, form and rank, made again when anything changed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

from plugtron.contracts.execution import DecoderSource
from plugtron.execution.origin import source_digest, sources_of, weight_files
from plugtron.execution.packed import FileStore, MemoryStore, Packed, Store, open_packed
from plugtron.execution.packed_folder import UNFINISHED, packed_directory, tidy
from plugtron.utils.private_files import make_private, why_not_private

__all__ = ["packed_weights"]

#: Checkpoints smaller than this (bytes) are packed in no time, at every start.
_WORTH_KEEPING = 32 * 2**20


def packed_weights(source: DecoderSource, make: Callable[[Store], Packed]) -> Packed:
    """Return what `make` writes to a store: mapped from the cache, or made, and kept there if it is large."""
    files = weight_files(source)
    if sum(file.stat().st_size for file in files) < _WORTH_KEEPING:
        return make(MemoryStore())
    path = _path(source, files)
    if path is None:
        return make(MemoryStore())
    try:
        packed = open_packed(path)
        os.utime(path)  # the least recently used are removed first
        return packed
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        warnings.warn(f"packed weights are made anew: {error}", stacklevel=2)
    try:
        make_private(path.parent)
        if reason := why_not_private(path.parent):
            raise PermissionError(0, reason)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f"{path.stem}-", suffix=UNFINISHED, delete=False
        ) as file:
            unfinished = Path(file.name)
            try:
                packed = make(FileStore(path, file, unfinished, str(source.model.path.resolve())))
            finally:
                unfinished.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(f"packed weights cannot be kept, and are made at every start: {error}", stacklevel=2)
        return make(MemoryStore())
    tidy(path)
    return packed


def _path(source: DecoderSource, files: list[Path]) -> Path | None:
    """What the file is of, in the first half of its name; in the second everything that its contents depend on.

    None where that cannot be told: a class that somebody has typed in has no file.
    """
    runtime, method = source.runtime, source.options.quantization
    sources = sources_of(source, source.checkpoint, method)
    if sources is None:
        return None
    form = [str(runtime.dtype), method and method.name, runtime.tensor.size, runtime.tensor.rank, str(source.layers)]
    meaning = _digest(json.dumps([str(source.model.path), type(source).__qualname__, form]).encode())
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    described = [stats, source.fingerprint, repr(source.model.configuration), version("gguf"), torch.__version__]
    return packed_directory() / f"{meaning}-{source_digest(described, sources)[:32]}.weights"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
