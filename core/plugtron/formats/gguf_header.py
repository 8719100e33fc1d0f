"""The header of a GGUF file, read without numpy or torch and without building what is not asked for.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Every count and length is checked against the
file's size before it is believed. The `gguf` library reads the same, at over a second for a vocabulary of 49,152;
this reads it in tens of milliseconds, which is what `plugtron check` and the first token can afford.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugtron.errors import CheckpointError
from plugtron.formats.gguf_fields import wrong_field

__all__ = ["GGUFHeader", "GGUFTensor", "read_header"]

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
#: Longer arrays are a vocabulary: left out unless asked for.
_SHORT = 1024
#: No array of GGUF's has arrays of arrays in it.
_DEEPEST = 2


@dataclass(frozen=True, slots=True)
class GGUFTensor:
    """A tensor's entry: shape in torch's order, ggml's number of its type, offset from the start of the data."""

    shape: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """Metadata, tensors by name, where the data begins, and what tensors' offsets are multiples of."""

    metadata: dict[str, Any]
    tensors: dict[str, GGUFTensor]
    data: int
    alignment: int = 32


def read_header(path: Path, *, vocabulary: bool = False) -> GGUFHeader:
    """Read a file's header; long arrays only with `vocabulary`.

    Raises:
        CheckpointError: it is no GGUF file of version 2 or 3, or ends before its header does.
    """
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise CheckpointError(f"{path} is empty") from None
        with data:
            try:
                return _Parser(data, vocabulary).header()
            except (struct.error, _TooShort):
                raise CheckpointError(f"{path} is truncated: it ends inside its header") from None
            except _Malformed as error:
                raise CheckpointError(f"{path}: {error}") from None


class _TooShort(Exception):
    """The file ends before what it announces."""


class _Malformed(Exception):
    """The header cannot be what it says."""


class _Parser:
    def __init__(self, data: mmap.mmap, vocabulary: bool) -> None:
        self.data = data
        self.size = len(data)
        self.vocabulary = vocabulary
        self.at = 0

    def header(self) -> GGUFHeader:
        if self.data[:4] != b"GGUF":
            raise _Malformed("no GGUF file (its first bytes are not 'GGUF')")
        self.at = 4
        version = self.scalar("I")
        if version in (2 << 24, 3 << 24):
            raise _Malformed("a big-endian GGUF file (accepted: little-endian; gguf-convert-endian turns it round)")
        if version not in (2, 3):
            raise _Malformed(f"GGUF version {version} (accepted: 2, 3)")
        tensors, entries = self.scalar("Q"), self.scalar("Q")
        metadata: dict[str, Any] = {}
        for _ in range(self.count(entries)):
            key = self.string()
            if key in metadata:
                raise _Malformed(f"{key} stands twice in its metadata")
            value = self.value(self.scalar("I"))
            if value is not None:
                metadata[key] = value
        for key, value in metadata.items():
            if problem := wrong_field(key, value, metadata.get("general.architecture")):
                raise _Malformed(problem)
        found: dict[str, GGUFTensor] = {}
        for _ in range(self.count(tensors)):
            name = self.string()
            if name in found:
                raise _Malformed(f"two tensors are called {name}")
            found[name] = self.tensor()
        alignment = metadata.get("general.alignment", 32)
        _check_offsets(found, alignment)
        return GGUFHeader(metadata, found, -(-self.at // alignment) * alignment, alignment)

    def count(self, announced: int) -> int:
        """A number of entries, which the rest of the file must have room for."""
        if announced > self.size - self.at:
            raise _TooShort
        return announced

    def scalar(self, form: str) -> Any:
        value = struct.unpack_from(f"<{form}", self.data, self.at)[0]
        self.at += struct.calcsize(f"<{form}")
        return value

    def string(self) -> str:
        length = self.scalar("Q")
        self.skip(length)
        return self.data[self.at - length : self.at].decode("utf-8", errors="replace")

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > self.size:
            raise _TooShort

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            if depth > _DEEPEST:
                raise _Malformed(f"arrays inside {_DEEPEST} others")
            return self.array(self.scalar("I"), self.scalar("Q"), depth)
        if kind not in _SCALARS:
            raise _Malformed(f"value of unknown type {kind}")
        return self.scalar(_SCALARS[kind])

    def array(self, kind: int, count: int, depth: int) -> list[Any] | None:
        """An array, or None for a long one that was not asked for."""
        self.count(count)
        wanted = self.vocabulary or count <= _SHORT
        if kind in _SCALARS:
            width = struct.calcsize(_SCALARS[kind])
            self.skip(count * width)
            start = self.at - count * width
            return list(struct.unpack_from(f"<{count}{_SCALARS[kind]}", self.data, start)) if wanted else None
        if kind == _STRING:
            return self.strings(count, wanted)
        return [self.value(kind, depth + 1) for _ in range(count)]

    def strings(self, count: int, wanted: bool) -> list[Any] | None:
        """An array of strings, without a call for each: vocabularies have a hundred thousand."""
        unpack, data, at = struct.Struct("<Q").unpack_from, self.data, self.at
        found = []
        for _ in range(count):
            start = at + 8
            at = start + unpack(data, at)[0]
            if wanted:
                found.append(data[start:at])
        self.at = at
        self.skip(0)
        return [text.decode("utf-8", errors="replace") for text in found] if wanted else None

    def tensor(self) -> GGUFTensor:
        rank = self.scalar("I")
        if not 1 <= rank <= 4:
            raise _Malformed(f"a tensor of {rank} dimensions")
        # GGUF lists the fastest axis first, torch last.
        shape = tuple(reversed([self.scalar("Q") for _ in range(rank)]))
        if math.prod(shape) >= 2**48 or 0 in shape:
            raise _Malformed(f"a tensor of shape {list(shape)}")
        return GGUFTensor(shape, self.scalar("I"), self.scalar("Q"))


def _check_offsets(tensors: dict[str, GGUFTensor], alignment: int) -> None:
    """Offsets are multiples of the alignment, and as many as there are tensors; how long each is, the reader knows."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if tensor.offset % alignment:
            raise _Malformed(f"tensor {name} begins at {tensor.offset}, which is no multiple of {alignment}")
        if tensor.offset in seen:
            raise _Malformed(f"tensor {name} begins where another does, at {tensor.offset}")
        seen.add(tensor.offset)
