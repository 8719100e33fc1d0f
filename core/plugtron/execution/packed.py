"""What a native step needs of a model, ready to be used: operations, packed weights, and the parameters beside them.

It is made layer by layer, into a file where the model is large enough, and mapped from there at the next start. In the
file: the tensors, each at a multiple of 64 bytes, then an index in JSON, then its length in the last 8 bytes.
"""

from __future__ import annotations

import json
import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

__all__ = ["FileStore", "MemoryStore", "Operation", "Packed", "Store", "open_packed"]

_ALIGNMENT = 64
_DTYPES = {str(dtype): dtype for dtype in (torch.uint8, torch.float32, torch.bfloat16, torch.float16)}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of the native step: `fields` are numbers, `tensors` the numbers of tensors in their store."""

    fields: dict[str, float]
    tensors: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The operations; their tensors by number; `cuts`: after how many of them the ranks' hidden states are summed.

    `parameters` are the numbers of the embedding's tensors, by name.
    """

    operations: list[Operation]
    cuts: list[int]
    parameters: dict[str, int]
    tensors: list[Tensor]


class Store(ABC):
    """Where tensors are put while a model is packed."""

    @abstractmethod
    def add(self, dtype: torch.dtype, shape: tuple[int, ...] | None, pieces: Iterable[Tensor]) -> int:
        """Keep a tensor that comes in pieces, and return its number. Without a shape it is flat."""

    @abstractmethod
    def finish(self, operations: list[Operation], cuts: list[int], parameters: dict[str, int]) -> Packed:
        """Give back what has been kept, with what is to be known of it."""


@dataclass
class MemoryStore(Store):
    """Keeps tensors in memory."""

    tensors: list[Tensor] = field(default_factory=list)

    def add(self, dtype: torch.dtype, shape: tuple[int, ...] | None, pieces: Iterable[Tensor]) -> int:
        """Keep a tensor."""
        flat = [piece.detach().flatten().to(dtype) for piece in pieces]
        whole = torch.cat(flat) if flat else torch.empty(0, dtype=dtype)  # a rank may have no rows of a vocabulary
        self.tensors.append(whole if shape is None else whole.view(shape))
        return len(self.tensors) - 1

    def finish(self, operations: list[Operation], cuts: list[int], parameters: dict[str, int]) -> Packed:
        """Give back what has been kept."""
        return Packed(operations=operations, cuts=cuts, parameters=parameters, tensors=self.tensors)


class FileStore(Store):
    """Writes tensors to a file, which is there under its name only when it is whole."""

    def __init__(self, path: Path, file: IO[bytes], unfinished: Path) -> None:
        self._path, self._file, self._unfinished = path, file, unfinished
        self._entries: list[dict[str, object]] = []

    def add(self, dtype: torch.dtype, shape: tuple[int, ...] | None, pieces: Iterable[Tensor]) -> int:
        """Write a tensor."""
        self._file.write(b"\0" * (-self._file.tell() % _ALIGNMENT))
        begin, count = self._file.tell(), 0
        for piece in pieces:
            flat = piece.detach().to(dtype).contiguous().flatten()
            self._file.write(flat.view(torch.uint8).numpy().data)
            count += len(flat)
        self._entries.append({"at": begin, "dtype": str(dtype), "shape": [count] if shape is None else list(shape)})
        return len(self._entries) - 1

    def finish(self, operations: list[Operation], cuts: list[int], parameters: dict[str, int]) -> Packed:
        """Write the index, give the file its name, and map it."""
        index = {
            "operations": [asdict(operation) for operation in operations],
            "cuts": cuts,
            "parameters": parameters,
            "tensors": self._entries,
        }
        text = json.dumps(index).encode()
        self._file.write(text + len(text).to_bytes(8, "little"))
        self._file.close()
        self._unfinished.replace(self._path)
        return open_packed(self._path)


def open_packed(path: Path) -> Packed:
    """Map a file that a store has written.

    Raises:
        OSError: it is not there.
        ValueError: it is no such file.
    """
    with path.open("rb") as file:
        # Private and writable, because torch knows no memory that may not be written; nobody writes.
        mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    size = int.from_bytes(mapped[-8:], "little")
    if not 0 < size < len(mapped):
        raise ValueError(f"{path} is no file of packed weights")
    index = json.loads(mapped[-8 - size : -8])  # what is no JSON is a ValueError too
    return Packed(
        operations=[Operation(**operation) for operation in index["operations"]],
        cuts=index["cuts"],
        parameters=index["parameters"],
        tensors=[_tensor(mapped, entry) for entry in index["tensors"]],
    )


def _tensor(mapped: mmap.mmap, entry: dict) -> Tensor:
    dtype, shape = _DTYPES[entry["dtype"]], entry["shape"]
    count = int(np.prod(shape)) * dtype.itemsize
    data = np.frombuffer(mapped, dtype=np.uint8, count=count, offset=entry["at"])
    return torch.from_numpy(data).view(dtype).view(shape)
