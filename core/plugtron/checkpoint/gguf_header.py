"""The header of a GGUF file, read without numpy or torch and without building what is not asked for.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Every count and length is checked against the
file's size before it is believed. The `gguf` library reads the same, at over a second for a vocabulary of 49,152;
this reads it in tens of milliseconds, which is what `plugtron check` and the first token can afford.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugtron.errors import CheckpointError

__all__ = ["GGUFHeader", "GGUFTensor", "read_header"]

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
#: Longer arrays are a vocabulary: left out unless asked for.
_SHORT = 1024


@dataclass(frozen=True, slots=True)
class GGUFTensor:
    """A tensor's entry: shape in torch's order, ggml's number of its type, offset from the start of the data."""

    shape: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """Metadata, tensors by name, and where the data begins."""

    metadata: dict[str, Any]
    tensors: dict[str, GGUFTensor]
    data: int


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
        if version not in (2, 3):
            raise _Malformed(f"GGUF version {version} (accepted: 2, 3)")
        tensors, entries = self.scalar("Q"), self.scalar("Q")
        metadata = {}
        for _ in range(entries):
            key = self.string()
            value = self.value(self.scalar("I"))
            if value is not None:
                metadata[key] = value
        found = {self.string(): self.tensor() for _ in range(tensors)}
        alignment = metadata.get("general.alignment", 32)
        return GGUFHeader(metadata, found, -(-self.at // alignment) * alignment)

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

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self.array(self.scalar("I"), self.scalar("Q"))
        if kind not in _SCALARS:
            raise _Malformed(f"value of unknown type {kind}")
        return self.scalar(_SCALARS[kind])

    def array(self, kind: int, count: int) -> list[Any] | None:
        """An array, or None for a long one that was not asked for."""
        if count > self.size:
            raise _TooShort
        wanted = self.vocabulary or count <= _SHORT
        if kind in _SCALARS:
            width = struct.calcsize(_SCALARS[kind])
            self.skip(count * width)
            start = self.at - count * width
            return list(struct.unpack_from(f"<{count}{_SCALARS[kind]}", self.data, start)) if wanted else None
        if kind == _STRING:
            return self.strings(count, wanted)
        return [self.value(kind) for _ in range(count)]

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
        if rank > 4:
            raise _Malformed(f"a tensor of {rank} dimensions")
        # GGUF lists the fastest axis first, torch last.
        shape = tuple(reversed([self.scalar("Q") for _ in range(rank)]))
        return GGUFTensor(shape, self.scalar("I"), self.scalar("Q"))
