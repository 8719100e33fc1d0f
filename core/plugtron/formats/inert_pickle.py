"""Reading pickles without running anything: what they name is never imported, only recorded.

A pickle is a program that may call whatever it can name. Here a name is looked up in a closed table, whose entries make
plain data or inert records; any other name is an error before anything has been called. No torch is needed.
"""

from __future__ import annotations

import io
import pickle
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from plugtron.errors import CheckpointError
from plugtron.formats.pickle_limits import check_pickle

__all__ = ["Record", "StoredTensor", "read_pickle"]

#: Of a sequence or a path that a function of the table copies.
_LONGEST_COPY = 4096


class Record:
    """An instance of a class that was not imported: its name, what it was called with, and its state."""

    origin: str = ""

    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any) -> Record:
        record = super().__new__(cls)
        record.arguments, record.state = arguments, {}
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def get(self, field: str) -> Any:
        """A field of its state, or None."""
        return self.state.get(field) if isinstance(self.state, dict) else None

    def __str__(self) -> str:
        return f"{self.origin}{reprlib.repr(self.arguments) if self.arguments else ''}"


class _Make:
    """A function of the table. It has no attributes that a pickle's state could be written to."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise ValueError(f"state {reprlib.repr(state)} for a function")


class _Mapping(dict[Any, Any]):
    """An OrderedDict; attributes that a pickle hangs on it are dropped. Its entries come one by one."""

    def __init__(self, *entries: Any) -> None:
        super().__init__(*map(_short, entries))

    def __setstate__(self, state: Any) -> None:
        del state


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Numbers in an archive: the type (None: not said), the member's key, and how many there are."""

    dtype: str | None
    key: str
    count: int

    def __setstate__(self, state: Any) -> None:
        raise ValueError(f"state {reprlib.repr(state)} for a storage")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor as a view of a storage: offset and strides in numbers, not bytes."""

    dtype: str
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __setstate__(self, state: Any) -> None:
        raise ValueError(f"state {reprlib.repr(state)} for a tensor")


_STORAGES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_DTYPES = {*_STORAGES.values(), "float8_e4m3fn", "float8_e5m2", "complex64"}


def _tensor(storage: Storage, offset: int, shape: Any, strides: Any, *rest: Any) -> StoredTensor:
    """_rebuild_tensor_v2 and _v3: the latter names the type as its last argument."""
    named = rest[-1] if rest and isinstance(rest[-1], str) else storage.dtype
    dtype = (named or "uint8").removeprefix("torch.")
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or dtype not in _DTYPES or len(shape) != len(strides):
        raise ValueError(f"no tensor: {reprlib.repr(dtype)} over {reprlib.repr(storage)}")
    if not all(type(number) is int and 0 <= number < 2**62 for number in numbers):
        raise ValueError(f"no tensor: offset, shape and strides {reprlib.repr(numbers)}")
    return StoredTensor(dtype=dtype, storage=storage, offset=offset, shape=tuple(shape), strides=tuple(strides))


def _first(value: Any, *rest: Any) -> Any:
    del rest
    return value


def _short(values: Any) -> Any:
    """A sequence that is copied: a pickle could have a long one copied any number of times.

    Raises:
        ValueError: it is long.
    """
    if len(values) > _LONGEST_COPY:
        raise ValueError(f"a copy of {len(values)} values")
    return values


def _tuple(values: Any = ()) -> tuple[Any, ...]:
    return tuple(_short(values))


def _set(values: Any = ()) -> set[Any]:
    return set(_short(values))


def _frozenset(values: Any = ()) -> frozenset[Any]:
    return frozenset(_short(values))


def _mapping(*factory: Any) -> _Mapping:
    del factory
    return _Mapping()


def _path(*parts: str) -> str:
    path = "/".join(_short(parts))
    if len(path) > _LONGEST_COPY:
        raise ValueError(f"a path of {len(path)} characters")
    return path


#: Functions and classes that become plain data.
_PLAIN: dict[str, Any] = {
    "builtins.set": _Make(_set),
    "builtins.frozenset": _Make(_frozenset),
    "collections.OrderedDict": _Mapping,
    "collections.defaultdict": _Make(_mapping),
    "pathlib.Path": _Make(_path),
    "pathlib.PosixPath": _Make(_path),
    "signal.Signals": _Make(_first),
    "torch.Size": _Make(_tuple),
    "torch._utils._rebuild_parameter": _Make(_first),
    "torch._utils._rebuild_tensor_v2": _Make(_tensor),
    "torch._utils._rebuild_tensor_v3": _Make(_tensor),
    "torch.device": _Make(_path),
    "torch.serialization._get_layout": _Make(_first),
    "torch.storage.UntypedStorage": None,
    **{f"torch.{name}": dtype for name, dtype in _STORAGES.items()},
    **{f"torch.{dtype}": f"torch.{dtype}" for dtype in _DTYPES},
}
_CHECKPOINT = "torch.distributed.checkpoint."
#: Classes and functions whose results stay records.
_INERT = {
    "_codecs.encode",
    "_io.BytesIO",
    "argparse.Namespace",
    "datetime.datetime",
    "datetime.timedelta",
    "io.BytesIO",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.dtypes.UInt32DType",
    "numpy.ndarray",
    "types.SimpleNamespace",
    "torch.nn.functional.gelu",
    "torch.nn.functional.silu",
    "torch._C._nn.gelu",
    *(
        f"{_CHECKPOINT}metadata.{name}"
        for name in (
            "BytesStorageMetadata",
            "ChunkStorageMetadata",
            "Metadata",
            "MetadataIndex",
            "StorageMeta",
            "TensorProperties",
            "TensorStorageMetadata",
            "_MEM_FORMAT_ENCODING",
        )
    ),
    *(  # as torch before 2.3 has it
        f"torch.distributed._shard.sharded_tensor.metadata.{name}"
        for name in ("TensorProperties", "MEM_FORMAT_ENCODING")
    ),
    *(f"{_CHECKPOINT}filesystem.{name}" for name in ("_StorageInfo", "_StoragePrefix")),
    *(f"{_CHECKPOINT}planner.{name}" for name in ("SavePlan", "TensorWriteData", "WriteItem", "WriteItemType")),
}
#: Megatron's own enums and settings, which saved arguments are full of; inert like all records.
_INERT_PACKAGES = ("megatron.core.", "megatron.legacy.", "megatron.training.")


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, source: Path) -> None:
        super().__init__(io.BytesIO(data))
        self._source = source

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        origin = f"{module_name}.{global_name}"
        if origin in _PLAIN:
            return _PLAIN[origin]
        if origin in _INERT or origin.startswith(_INERT_PACKAGES):
            return _record_class(origin)
        raise CheckpointError(
            f"{self._source}: its pickle names {origin}, which no checkpoint needs; nothing of it has been run"
        )

    def persistent_load(self, pid: Any, /) -> Storage:
        """What torch.save writes instead of a storage."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(key, str) or not isinstance(count, int):
            raise CheckpointError(f"{self._source}: its pickle refers to {reprlib.repr(pid)}, which is no storage")
        return Storage(dtype=dtype if isinstance(dtype, str) else None, key=key, count=count)


@cache
def _record_class(origin: str) -> type[Record]:
    return type(origin.rpartition(".")[2], (Record,), {"origin": origin})


def read_pickle(data: bytes, source: Path) -> Any:
    """Return what a pickle holds, as plain data, records and stored tensors.

    Raises:
        CheckpointError: it names something outside the table, or is no pickle; with `source`.
    """
    try:
        check_pickle(data)
        return _Unpickler(data, source).load()
    except CheckpointError:
        raise
    # Whatever a broken pickle makes the tables' functions raise; none of them does more than build data.
    except Exception as error:
        text = str(error)[:200]
        raise CheckpointError(f"{source}: its pickle is broken: {type(error).__name__}: {text}") from None
