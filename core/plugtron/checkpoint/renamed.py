"""Checkpoints whose tensors have their usual names but for a common prefix: wrappers leave one, or take one away."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription, TensorInfo

if TYPE_CHECKING:
    import torch

    from plugtron.quantization.weight import QuantizedWeight

__all__ = ["under_expected_names"]


def under_expected_names(reader: CheckpointReader, expected: Collection[str]) -> CheckpointReader:
    """Return a reader with the expected names, where one prefix more or less makes most of them fit; else the same.

    DataParallel leaves "module.", torch.compile "_orig_mod.", PEFT "base_model.model."; a bare backbone lacks "model.".
    """
    stored = reader.tensors
    missing = [name for name in expected if name not in stored]
    if 2 * len(missing) < len(expected):
        return reader
    for prefix in _candidates(missing, stored):
        names = {name: _stored_name(name, prefix, stored) for name in expected}
        if 2 * sum(name in stored for name in names.values()) > len(expected):
            return _Renamed(reader, names)
    return reader


#: A prefix that the stored names have more than the expected ones (True), or less.
Prefix = tuple[str, bool]


def _candidates(missing: Collection[str], stored: Mapping[str, TensorInfo]) -> list[Prefix]:
    """Prefixes that would make some name fit."""
    found: dict[Prefix, None] = {}
    for name in sorted(missing, key=len, reverse=True)[:3]:
        for other in stored:
            if other.endswith(f".{name}"):
                found[other[: -len(name)], True] = None
            elif name.endswith(f".{other}"):
                found[name[: -len(other)], False] = None
    return list(found)


def _stored_name(name: str, prefix: Prefix, stored: Mapping[str, TensorInfo]) -> str:
    text, more = prefix
    changed = f"{text}{name}" if more else name.removeprefix(text)
    return changed if changed in stored else name


class _Renamed(CheckpointReader):
    """Reads another reader's tensors, under other names."""

    def __init__(self, reader: CheckpointReader, names: Mapping[str, str]) -> None:
        super().__init__(reader.path)
        self._reader = reader
        self._names = {name: stored for name, stored in names.items() if name != stored}
        taken = set(self._names.values())
        renamed = {name: reader.tensors[stored] for name, stored in self._names.items() if stored in reader.tensors}
        self._tensors = {name: info for name, info in reader.tensors.items() if name not in taken} | renamed

    @classmethod
    def describe(cls, path: Path) -> ModelDescription | None:
        """It is another reader that knows formats."""
        del path

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors, by their usual names."""
        return self._tensors

    def read(self, name: str, part: tuple[slice, ...] = ()) -> torch.Tensor:
        """Return a tensor, or a part of it."""
        return self._reader.read(self._names.get(name, name), part)

    def read_blocks(self, name: str, part: tuple[slice, ...] = ()) -> QuantizedWeight | None:
        """Return a matrix in its blocks."""
        return self._reader.read_blocks(self._names.get(name, name), part)
