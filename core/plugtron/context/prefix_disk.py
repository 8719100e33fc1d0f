"""Prefixes on disk: blocks of keys and values, found by their content, for as long as a bound of bytes allows.

A file is a line of JSON that says what it is of, the bytes of a block, and the SHA-256 of both. It has its name only
once it is whole, and what is not as it was written is never served.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from plugtron.context.prefix_folder import SUFFIX, UNFINISHED, make_room, prefix_directory
from plugtron.contracts.memory import KVOrigin
from plugtron.errors import SpecError
from plugtron.utils.private_files import make_private, open_regular, why_not_private

__all__ = ["PrefixDisk"]

_FORM = 1
_DIGEST = 32
#: A writer removes old blocks for so many parts of the bound at once, and leaves as much to each of the others.
_PARTS, _WRITERS = 32, 4


class PrefixDisk:
    """The blocks of one rank.

    Args:
        origin: what they depend on besides tokens.
        size: bytes of a block.
        most: bytes in the folder, which all models and ranks share.
        ranks: how many of this run write there.

    Raises:
        SpecError: `most` is too little to be of use.
    """

    def __init__(self, origin: KVOrigin, *, size: int, most: int, ranks: int = 1) -> None:
        self._origin, self._size, self._most = origin, size, most
        self._folder = prefix_directory()
        self._share = most // (_PARTS * ranks)
        # What may be written before others have to go, and whether anything is to be written at all.
        self._room = 0
        self._writes = True
        file = len(self._header(bytes(_DIGEST))) + size + _DIGEST
        if file > self._share:
            raise SpecError(
                f"engine.options.prefix_cache_disk: {most} bytes are too few, a block takes {file} on each rank "
                f"(accepted: {file * _PARTS * ranks} or more)"
            )
        try:
            make_private(self._folder)
            reason = why_not_private(self._folder)
        except OSError as error:
            reason = f"{self._folder} cannot be made: {error.strerror}"
        self._usable = reason is None
        if reason is not None:
            warnings.warn(f"prefixes are not kept on disk: {reason}", stacklevel=2)

    def has(self, key: bytes) -> bool:
        """Whether there is a file of the name that a prefix has."""
        return self._usable and self._path(key).exists()

    def read(self, key: bytes) -> Tensor | None:
        """The bytes of a block, uint8 on the CPU; None where the disk does not have them as they were written."""
        if not self._usable:
            return None
        path, header = self._path(key), self._header(key)
        begin, end = len(header), len(header) + self._size
        data = bytearray(end + _DIGEST + 1)
        try:
            with os.fdopen(open_regular(path), "rb") as file:
                count = file.readinto(data)
            reason = why_not_private(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            count, reason = 0, error.strerror
        whole = count == end + _DIGEST and data.startswith(header)
        if reason is None and whole and hashlib.sha256(memoryview(data)[:end]).digest() == data[end:count]:
            return torch.frombuffer(data, dtype=torch.uint8, count=self._size, offset=begin)
        warnings.warn(f"{path} is not used: {reason or 'it is damaged'}", stacklevel=2)
        self.remove(key)
        return None

    def write(self, key: bytes, block: Tensor) -> None:
        """Keep a block, uint8 on the CPU. Where that cannot be, it is said once; nothing more is written."""
        if not (self._usable and self._writes):
            return
        header = self._header(key)
        try:
            self._take_room(len(header) + self._size + _DIGEST)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=UNFINISHED, delete=False) as file:
                unfinished = Path(file.name)
                try:
                    digest = hashlib.sha256()
                    for part in (header, block.numpy().data):
                        file.write(part)
                        digest.update(part)
                    file.write(digest.digest())
                    file.close()
                    unfinished.replace(self._path(key))
                finally:
                    unfinished.unlink(missing_ok=True)
        except OSError as error:
            self._writes = False
            warnings.warn(f"no more prefixes are written to {self._folder}: {error.strerror}", stacklevel=2)

    def use(self, key: bytes) -> None:
        """Note that a block is of use now: the least recently used go first."""
        if self._usable:
            with suppress(OSError):  # it is gone
                os.utime(self._path(key))

    def remove(self, key: bytes) -> None:
        """Forget a block."""
        if self._usable:
            with suppress(OSError):  # it is gone, or nothing that can be removed
                self._path(key).unlink()

    def _take_room(self, size: int) -> None:
        """Have room for a file, so that together with what other processes write no more than the bound is kept."""
        if size > self._room:
            make_room(self._folder, self._most - _WRITERS * self._most // _PARTS)
            self._room = self._share
        self._room -= size

    def _path(self, key: bytes) -> Path:
        return self._folder / f"{self._origin.digest[:32]}-{key.hex()}{SUFFIX}"

    def _header(self, key: bytes) -> bytes:
        said = {"model": str(self._origin.model), "origin": self._origin.digest, "prefix": key.hex(), "form": _FORM}
        return json.dumps(said).encode() + b"\n"
