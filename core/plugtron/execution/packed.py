"""What a native step needs of a model, ready to be used: its program, packed weights, and the parameters beside them.

It is made layer by layer, into a file where the model is large enough, and mapped from there at the next start. In the
file: the tensors, each at a multiple of 64 bytes, then an index in JSON, its SHA-256, and its length in 8 bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from plugtron.execution.lowering.program import NativeProgram, Record
from plugtron.utils.private_files import open_regular, why_not_private

__all__ = ["FileStore", "MemoryStore", "Packed", "Store", "open_packed", "source_of"]

_ALIGNMENT, _DIGEST = 64, 32
_DTYPES = {str(dtype): dtype for dtype in (torch.uint8, torch.float32, torch.bfloat16, torch.float16)}


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A program, and its tensors by number.

    `parameters` are the numbers of the embedding's tensors, and of those that pieces in torch read, by name.
    """

    program: NativeProgram
    parameters: dict[str, int]
    tensors: list[Tensor]

    def addresses(self, record: Record) -> dict[str, int]:
        """Where the tensors of an operation or a row step are."""
        return {name: self.tensors[number].data_ptr() for name, number in record.tensors.items()}


class Store(ABC):
    """Where tensors are put while a model is packed."""

    @abstractmethod
    def add(self, dtype: torch.dtype, shape: tuple[int, ...] | None, pieces: Iterable[Tensor]) -> int:
        """Keep a tensor that comes in pieces, and return its number. Without a shape it is flat."""

    @abstractmethod
    def finish(self, program: NativeProgram, parameters: dict[str, int]) -> Packed:
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

    def finish(self, program: NativeProgram, parameters: dict[str, int]) -> Packed:
        """Give back what has been kept."""
        return Packed(program=program, parameters=parameters, tensors=self.tensors)


class FileStore(Store):
    """Writes tensors to a file, which is there under its name only when it is whole."""

    def __init__(self, path: Path, file: IO[bytes], unfinished: Path, source: str = "") -> None:
        self._path, self._file, self._unfinished, self._source = path, file, unfinished, source
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

    def finish(self, program: NativeProgram, parameters: dict[str, int]) -> Packed:
        """Write the index, give the file its name, and map it."""
        index = {
            "program": program.to_dict(),
            "parameters": parameters,
            "tensors": self._entries,
            "source": self._source,
        }
        text = json.dumps(index).encode()
        self._file.write(text + hashlib.sha256(text).digest() + len(text).to_bytes(8, "little"))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._unfinished.replace(self._path)
        return open_packed(self._path)


def open_packed(path: Path) -> Packed:
    """Map a file that a store has written.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it is no regular file, or others could have written it.
        ValueError: it is damaged, or no such file.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        if reason := why_not_private(path):
            raise PermissionError(0, reason)
        # Private and writable, because torch knows no memory that may not be written; nobody writes.
        mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    index, end = _index(mapped, path)
    try:
        return Packed(
            program=NativeProgram.from_dict(index["program"]),
            parameters=index["parameters"],
            tensors=[_tensor(mapped, entry, end) for entry in index["tensors"]],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} has another form: {error!r}") from None


def source_of(path: Path) -> str:
    """The model that a file was packed from.

    Raises:
        OSError, ValueError: as `open_packed`.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with mapped:
            return str(_index(mapped, path)[0].get("source", ""))


def _index(mapped: mmap.mmap, path: Path) -> tuple[dict[str, Any], int]:
    """The index at a file's end, whole, and where it begins."""
    size = int.from_bytes(mapped[-8:], "little")
    begin = len(mapped) - 8 - _DIGEST - size
    if size <= 0 or begin < 0:
        raise ValueError(f"{path} is no file of packed weights")
    text = mapped[begin : begin + size]
    if hashlib.sha256(text).digest() != mapped[begin + size : -8]:
        raise ValueError(f"{path} is damaged: its index does not have its digest")
    index = json.loads(text)  # what is no JSON is a ValueError too
    if not isinstance(index, dict):
        raise ValueError(f"{path} is no file of packed weights")
    return index, begin


def _tensor(mapped: mmap.mmap, entry: dict[str, Any], end: int) -> Tensor:
    dtype, shape, begin = _DTYPES[entry["dtype"]], entry["shape"], entry["at"]
    count = math.prod(shape) * dtype.itemsize
    if begin < 0 or begin % _ALIGNMENT or min(shape, default=0) < 0 or begin + count > end:
        raise ValueError(f"a tensor of shape {shape} at byte {begin} of {end}")
    data = np.frombuffer(mapped, dtype=np.uint8, count=count, offset=begin)
    return torch.from_numpy(data).view(dtype).view(shape)
