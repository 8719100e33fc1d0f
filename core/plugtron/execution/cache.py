"""Where packed weights are kept between starts: one file per model, form and rank, made again when anything changed."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import plugtron
from plugtron.execution.packed import FileStore, MemoryStore, Packed, Store, open_packed
from plugtron.models import cache_directory

if TYPE_CHECKING:
    from plugtron.nn.wrapper import DecoderWrapper

__all__ = ["packed_weights"]

#: Checkpoints smaller than this (bytes) are packed in no time, at every start.
_WORTH_KEEPING = 32 * 2**20


def packed_weights(wrapper: DecoderWrapper, make: Callable[[Store], Packed]) -> Packed:
    """Return what `make` writes to a store: mapped from the cache, or made, and kept there if it is large."""
    files = sorted({info.file for info in wrapper.checkpoint.tensors.values()})
    if sum(file.stat().st_size for file in files) < _WORTH_KEEPING:
        return make(MemoryStore())
    path = _path(wrapper, files)
    try:
        return open_packed(path)
    except (OSError, ValueError):
        pass  # it is not there yet, or what is there is damaged
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.stem}-", delete=False) as file:
            unfinished = Path(file.name)
            try:
                packed = make(FileStore(path, file, unfinished))
            finally:
                unfinished.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(f"packed weights cannot be kept, and are made at every start: {error}", stacklevel=2)
        return make(MemoryStore())
    _forget_others(path)
    return packed


def _path(wrapper: DecoderWrapper, files: list[Path]) -> Path:
    """What the file is of, in the first half of its name; in the second everything that its contents depend on."""
    runtime = wrapper.runtime
    form = [str(runtime.dtype), runtime.quantization, runtime.tensor.size, runtime.tensor.rank, str(wrapper.layers)]
    meaning = _digest(json.dumps([str(wrapper.model.path), type(wrapper).__qualname__, form]).encode())
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    state = hashlib.sha256(json.dumps([stats, repr(wrapper.config), repr(wrapper.model.configuration)]).encode())
    for source in sorted({*_sources("plugtron"), *_sources(type(wrapper).__module__), *_sources(_module(wrapper))}):
        state.update(source.read_bytes())
    return cache_directory().parent / "packed" / f"{meaning}-{state.hexdigest()[:32]}.weights"


def _module(wrapper: DecoderWrapper) -> str:
    return type(wrapper.checkpoint).__module__


def _sources(module: str) -> list[Path]:
    """The files that say how a weight is read, changed and packed: those of a wrapper's or a reader's package."""
    if module == "plugtron":
        root = Path(plugtron.__path__[0])
        return [path for part in ("checkpoint", "contracts", "execution", "nn", "kernels/native")
                for path in (root / part).glob("*.py")]  # fmt: skip
    file = sys.modules[module].__file__
    return [] if file is None else list(Path(file).parent.glob("*.py"))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _forget_others(path: Path) -> None:
    """Remove what was kept of the same thing in an earlier state."""
    meaning = path.stem.partition("-")[0]
    for other in path.parent.glob(f"{meaning}-*.weights"):
        if other != path:
            other.unlink(missing_ok=True)
