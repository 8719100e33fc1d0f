"""What weights, and what is computed with them, depend on: for what is kept of either between starts."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from plugtron.contracts.execution import DecoderSource, ExecutionBackend
from plugtron.contracts.memory import KVOrigin
from plugtron.errors import CheckpointError

__all__ = ["kv_origin", "source_digest", "sources_of", "weight_files"]

#: Where our own sources are.
_ROOT = Path(__file__).parents[1]
#: The rooms whose code says how weights are read and packed.
_READING = ("checkpoint", "contracts", "execution", "formats", "kernels/native", "nn", "parallel", "quantization")
#: Those whose code computes keys and values.
_COMPUTING = (*_READING, "context", "kernels")


def weight_files(source: DecoderSource) -> list[Path]:
    """The files that a model's weights are in."""
    return sorted({info.file for info in source.checkpoint.tensors.values()})


def sources_of(*makers: object, rooms: Iterable[str] = _READING, kinds: Sequence[str] = (".py",)) -> list[Path] | None:
    """The files of code in some of our rooms, and those beside the classes of all `makers`.

    None where that cannot be told: a class that somebody has typed in has no file.
    """
    found = {path for room in rooms for path in (_ROOT / room).rglob("*") if path.suffix in kinds}
    for kind in (kind for maker in makers for kind in type(maker).__mro__):
        if kind.__module__ in ("builtins", "abc") or kind.__module__.startswith("plugtron."):
            continue
        file = getattr(sys.modules[kind.__module__], "__file__", None)
        if file is None:
            return None
        found |= {path for path in Path(file).parent.rglob("*") if path.suffix in kinds}
    return sorted(found)


def source_digest(described: object, sources: Iterable[Path]) -> str:
    """A digest of data that JSON can say and of the contents of files."""
    state = hashlib.sha256(json.dumps(described).encode())
    for file in sources:
        state.update(f"{file.name} ".encode() + file.read_bytes())
    return state.hexdigest()


def kv_origin(source: DecoderSource, backend: ExecutionBackend) -> KVOrigin | None:
    """What the keys and values of a decoder's steps depend on; None where a part of its code is in no file.

    Raises:
        CheckpointError: a file of the checkpoint is gone.
    """
    runtime, options = source.runtime, source.options
    makers = (source, source.checkpoint, backend, options.quantization, options.attention)
    sources = sources_of(*makers, rooms=_COMPUTING, kinds=(".py", ".cpp", ".h"))
    if sources is None:
        return None
    method, attention = options.quantization, options.attention
    described = [
        [[str(file.resolve()), *_version(file)] for file in weight_files(source)],
        [source.fingerprint, repr(source.model.configuration), type(source).__qualname__],
        [runtime.tensor.size, runtime.tensor.rank, str(source.layers), repr(source.info.states)],
        [str(runtime.dtype), runtime.device.type, method and method.name, attention and type(attention).__qualname__],
        # Which processor adds up, and how many threads, is of no account, unless bits are.
        [backend.name, options.deterministic and [platform.node(), runtime.threads], torch.__version__],
    ]
    return KVOrigin(model=source.checkpoint.path.resolve(), digest=source_digest(described, sources))


def _version(file: Path) -> tuple[int, int]:
    """What of a file differs once it has been written anew."""
    try:
        status = file.stat()
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror}") from None
    return status.st_size, status.st_mtime_ns
