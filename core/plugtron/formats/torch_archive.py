"""Archives that torch.save writes: a zip file of one pickle and the numbers it refers to, uncompressed.

Tensors are read from where they lie in the file, only the part that is asked for. The archive may itself be a region
of a larger file, as in distributed checkpoints.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugtron.errors import CheckpointError
from plugtron.formats.inert_pickle import StoredTensor, read_pickle

if TYPE_CHECKING:
    import torch

__all__ = ["TorchArchive"]

_LOCAL_HEADER = 30


class TorchArchive:
    """One archive, opened.

    Args:
        file: where it is.
        offset, length: the region of the file that it takes up; by default all of it.

    Raises:
        CheckpointError: the file is missing, truncated, or no such archive.
    """

    def __init__(self, file: Path, offset: int = 0, length: int | None = None) -> None:
        self.file = file
        self._offset = offset
        try:
            with file.open("rb") as handle:
                size = handle.seek(0, io.SEEK_END)
                self._length = size - offset if length is None else length
                if offset + self._length > size:
                    raise CheckpointError(f"{file} is truncated: it has {size} bytes of {offset + self._length}")
                region = _Region(handle, offset, self._length)
                with zipfile.ZipFile(region) as archive:
                    self._members = {info.filename: info for info in archive.infolist()}
                    self._root = _root(self._members, file)
                    # What is compressed might swell to any size; torch.save compresses nothing.
                    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                        raise CheckpointError(f"{file} has compressed members, which torch.save does not write")
                    self._pickle = archive.read(f"{self._root}data.pkl")
                    order = f"{self._root}byteorder"
                    if order in self._members and archive.read(order) != b"little":
                        raise CheckpointError(f"{file}: numbers in another byte order than little are not read")
        except OSError as error:
            raise CheckpointError(f"{file} cannot be read: {error.strerror or error}") from None
        except CheckpointError:
            raise
        # What zipfile and struct raise for bytes that are no archive of theirs.
        except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError, struct.error, EOFError) as error:
            raise CheckpointError(f"{file} is truncated or no archive of torch.save: {error}") from None

    def load(self) -> Any:
        """Return what was saved; tensors as `StoredTensor`.

        Raises:
            CheckpointError: the pickle names something that no checkpoint needs.
        """
        return read_pickle(self._pickle, self.file)

    def read(self, stored: StoredTensor, part: Sequence[slice]) -> torch.Tensor:
        """Return a part of a tensor, one slice per axis, as a copy.

        Raises:
            CheckpointError: the archive does not hold as many numbers as the tensor needs.
        """
        # Imported here: describing a checkpoint must do without them.
        import numpy as np
        import torch

        dtype: torch.dtype = getattr(torch, stored.dtype)
        start, size = self._storage(stored)
        last = stored.offset + sum((n - 1) * step for n, step in zip(stored.shape, stored.strides, strict=True))
        if 0 in stored.shape:
            return torch.empty(stored.shape, dtype=dtype)[tuple(part)]
        if min(stored.strides, default=0) < 0 or stored.offset < 0 or (last + 1) * dtype.itemsize > size:
            raise CheckpointError(f"{self.file}: a tensor of shape {list(stored.shape)} has {size} bytes of numbers")
        # Mapped copy-on-write: torch wants memory that it may write to, and only what is copied below is read.
        whole = np.memmap(self.file, dtype=np.uint8, mode="c", offset=start, shape=(size,))
        numbers = torch.from_numpy(whole[: size - size % dtype.itemsize])
        view = numbers.view(dtype).as_strided(stored.shape, stored.strides, stored.offset)
        return view[tuple(part)].clone(memory_format=torch.contiguous_format)

    def _storage(self, stored: StoredTensor) -> tuple[int, int]:
        """Where in the file a tensor's storage begins, and its size in bytes."""
        info = self._members.get(f"{self._root}data/{stored.storage.key}")
        if info is None:
            raise CheckpointError(f"{self.file}: storage {stored.storage.key} is missing")
        at = self._offset + info.header_offset
        with self.file.open("rb") as handle:
            handle.seek(at)
            header = handle.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise CheckpointError(f"{self.file} is truncated or no archive of torch.save")
        name, extra = struct.unpack("<HH", header[26:30])
        start = at + _LOCAL_HEADER + name + extra
        if start + info.file_size > self._offset + self._length:
            raise CheckpointError(f"{self.file} is truncated: storage {stored.storage.key} ends beyond it")
        return start, info.file_size


class _Region(io.RawIOBase):
    """A part of a file as a file of its own, as far as zipfile needs one."""

    def __init__(self, handle: io.BufferedReader, offset: int, length: int) -> None:
        self._handle = handle
        self._offset = offset
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise OSError("seek before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(self._length - self._at, 0)
        self._handle.seek(self._offset + self._at)
        data = self._handle.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data


def _root(members: dict[str, zipfile.ZipInfo], file: Path) -> str:
    """The folder inside the archive, with its slash."""
    found = [name for name in members if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(found) != 1:
        raise CheckpointError(f"{file} is no archive of torch.save: it has {len(found)} pickles")
    return found[0].removesuffix("data.pkl")
