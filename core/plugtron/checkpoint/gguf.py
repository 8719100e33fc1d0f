"""GGUF files, the format of llama.cpp: configuration, tokenizer and weights, the latter often in quantised blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from plugtron.checkpoint.gguf_header import GGUFHeader, read_header
from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription, TensorInfo
from plugtron.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from plugtron.contracts.quantised import QuantisedWeight

__all__ = ["GGUFReader"]

#: ggml's numbers of the types that can be read: elements and bytes per block.
_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
}


class GGUFReader(CheckpointReader):
    """Reads one GGUF file. `read` gives blocks dequantised, `read_blocks` as they are, as float32."""

    @classmethod
    def describe(cls, path: Path) -> ModelDescription | None:
        """Read the header's metadata; None for what is no .gguf file."""
        if path.suffix != ".gguf" or not path.is_file():
            return None
        header = read_header(path)
        architecture = header.metadata.get("general.architecture")
        if not isinstance(architecture, str):
            raise CheckpointError(f"{path}: general.architecture is missing")
        if header.metadata.get("split.count", 1) > 1:
            raise CheckpointError(f"{path} is one of several files: merge them with 'llama-gguf-split --merge'")
        return ModelDescription(
            format="gguf",
            path=path,
            architecture=architecture,
            configuration={
                **header.metadata,
                "tensors": {name: tensor.shape for name, tensor in header.tensors.items()},
            },
            tokenizer="gguf" if "tokenizer.ggml.model" in header.metadata else None,
        )

    @cached_property
    def _header(self) -> GGUFHeader:
        return read_header(self.path)

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by name."""
        return self._tensors

    @cached_property
    def _tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by name."""
        size = self.path.stat().st_size
        found = {}
        for name, tensor in self._header.tensors.items():
            if tensor.type not in _TYPES:
                known = ", ".join(title for title, _, _ in _TYPES.values())
                raise CheckpointError(f"{self.path}: tensor {name} is of ggml type {tensor.type} (accepted: {known})")
            title, elements, bytes_per_block = _TYPES[tensor.type]
            if tensor.shape and tensor.shape[-1] % elements:
                raise CheckpointError(f"{self.path}: tensor {name} has rows that are no whole blocks of {elements}")
            end = self._header.data + tensor.offset + math.prod(tensor.shape) // elements * bytes_per_block
            if end > size:
                raise CheckpointError(f"{self.path} is truncated: tensor {name} ends at byte {end} of {size}")
            found[name] = TensorInfo(shape=tensor.shape, dtype=title, file=self.path)
        return found

    def read(self, name: str, part: tuple[slice, ...] = ()) -> torch.Tensor:
        """Return a tensor, or a part of it, dequantised."""
        # Imported here: `describe` must do without numpy and torch.
        from plugtron.checkpoint.gguf_blocks import read_numbers

        info, tensor = self.tensors[name], self._header.tensors[name]
        _, elements, bytes_per_block = _TYPES[tensor.type]
        offset = self._header.data + tensor.offset
        return read_numbers(self.path, offset, info, elements, bytes_per_block, part)

    def read_blocks(self, name: str, part: tuple[slice, ...] = ()) -> QuantisedWeight | None:
        """Return a matrix's blocks as they are; None for types that are read as numbers alone."""
        from plugtron.checkpoint.gguf_blocks import map_blocks, own_copy
        from plugtron.checkpoint.gguf_native import BLOCKS

        info, tensor = self.tensors[name], self._header.tensors[name]
        if info.dtype not in BLOCKS or len(info.shape) != 2:
            return None
        _, elements, bytes_per_block = _TYPES[tensor.type]
        rows, columns = (*part, slice(None), slice(None))[:2]
        start, stop, _ = columns.indices(info.shape[1])
        if start % elements or stop % elements:
            return None
        blocks = map_blocks(self.path, self._header.data + tensor.offset, info, elements, bytes_per_block)
        return BLOCKS[info.dtype](own_copy(blocks[rows, start // elements : stop // elements]))
