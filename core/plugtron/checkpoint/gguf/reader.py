"""GGUF files, the format of llama.cpp: configuration, tokenizer and weights, the latter often in quantized blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from plugtron.checkpoint.gguf.shards import read_shards
from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription, TensorInfo
from plugtron.errors import CheckpointError
from plugtron.formats.gguf_header import GGUFHeader, GGUFTensor

if TYPE_CHECKING:
    import torch

    from plugtron.quantization.weight import QuantizedWeight

__all__ = ["GGUFReader"]

#: The file of a tensor, where the data in it begins, and the tensor's entry in the header.
Located = tuple[Path, int, GGUFTensor]

#: Of so many bytes of blocks numbers are made at once.
_AT_ONCE = 2**24

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
    39: ("MXFP4", 32, 17),
}


class GGUFReader(CheckpointReader):
    """Reads one GGUF file, or all files of one that was split, whichever of them is named.

    `read` gives blocks dequantized, `read_blocks` as they are, as float32.
    """

    @classmethod
    def describe(cls, path: Path) -> ModelDescription | None:
        """Read the header's metadata; None for what is no GGUF file, whatever it is called."""
        if not path.is_file() or not _is_gguf(path):
            return None
        shards = read_shards(path)
        path, header = shards[0]
        architecture = header.metadata.get("general.architecture")
        if not isinstance(architecture, str):
            raise CheckpointError(f"{path}: general.architecture is missing")
        shapes = {name: entry.shape for name, (_, _, entry) in _located(shards).items()}
        return ModelDescription(
            format="gguf",
            path=path,
            architecture=architecture,
            configuration={**header.metadata, "tensors": shapes},
            tokenizer="gguf" if "tokenizer.ggml.model" in header.metadata else None,
        )

    @cached_property
    def _located(self) -> dict[str, Located]:
        return _located(read_shards(self.path))

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by name."""
        return self._tensors

    @cached_property
    def _tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by name."""
        return {
            name: TensorInfo(shape=tensor.shape, dtype=_TYPES[tensor.type][0], file=path)
            for name, (path, _, tensor) in self._located.items()
        }

    def read(self, name: str, part: tuple[slice, ...] = ()) -> torch.Tensor:
        """Return a tensor, or a part of it, dequantized."""
        # Imported here: `describe` must do without numpy and torch.
        from plugtron.checkpoint.gguf.dequantize import read_numbers

        info, (path, data, tensor) = self.tensors[name], self._located[name]
        _, elements, bytes_per_block = _TYPES[tensor.type]
        return read_numbers(path, data + tensor.offset, info, elements, bytes_per_block, part)

    def read_blocks(self, name: str, part: tuple[slice, ...] = ()) -> QuantizedWeight | None:
        """Return a matrix's blocks as they are, or those of one of several that are stacked in a tensor.

        None for types that are read as numbers alone.
        """
        from plugtron.checkpoint.gguf.dequantize import map_blocks, own_copy
        from plugtron.checkpoint.gguf.quantized import BLOCKS
        from plugtron.quantization.weight import QuantizedWeight

        info, (path, data, tensor) = self.tensors[name], self._located[name]
        if info.dtype not in BLOCKS or len(info.shape) < 2:
            return None
        _, elements, bytes_per_block = _TYPES[tensor.type]
        *rows, columns = (*part, *[slice(None)] * (len(info.shape) - len(part)))
        start, stop, _ = columns.indices(info.shape[-1])
        if start % elements or stop % elements:
            return None
        blocks = map_blocks(path, data + tensor.offset, info, elements, bytes_per_block)
        chosen = blocks[(*rows, slice(start // elements, stop // elements))]
        chosen = chosen.reshape(-1, *chosen.shape[-2:])  # of several matrices all rows
        # Unpacking blocks takes several times their memory: convert a few rows at a time.
        step = max(1, _AT_ONCE // max(1, chosen[:1].nbytes))
        parts = range(0, max(1, len(chosen)), step)
        return QuantizedWeight.stacked([BLOCKS[info.dtype](own_copy(chosen[at : at + step])) for at in parts])


def _is_gguf(path: Path) -> bool:
    """Whether a file is meant to be one: by its name, or by how it begins."""
    if path.suffix == ".gguf":
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def _located(shards: list[tuple[Path, GGUFHeader]]) -> dict[str, Located]:
    """All tensors of all files by name.

    Raises:
        CheckpointError: one is in two files, or a file's tensors do not lie as they should.
    """
    found: dict[str, Located] = {}
    for path, header in shards:
        for name, tensor in header.tensors.items():
            if name in found:
                raise CheckpointError(f"tensor {name} is in {found[name][0].name} and in {path.name}")
            found[name] = path, header.data, tensor
        _check_layout(path, header)
    return found


def _check_layout(path: Path, header: GGUFHeader) -> None:
    """Tensors lie one behind the other, each begun at a multiple of the alignment, and all of them inside the file.

    Raises:
        CheckpointError: they do not, or are of a type that cannot be read.
    """
    size, end = path.stat().st_size, 0
    for name, tensor in sorted(header.tensors.items(), key=lambda item: item[1].offset):
        if tensor.type not in _TYPES:
            known = ", ".join(title for title, _, _ in _TYPES.values())
            raise CheckpointError(f"{path}: tensor {name} is of ggml type {tensor.type} (accepted: {known})")
        _, elements, bytes_per_block = _TYPES[tensor.type]
        if tensor.shape[-1] % elements:
            raise CheckpointError(f"{path}: tensor {name} has rows that are no whole blocks of {elements}")
        if tensor.offset != -(-end // header.alignment) * header.alignment:
            where = "overlaps the one before it" if tensor.offset < end else "leaves a gap before it"
            raise CheckpointError(f"{path}: tensor {name} at offset {tensor.offset} {where}")
        end = tensor.offset + math.prod(tensor.shape) // elements * bytes_per_block
        if header.data + end > size:
            raise CheckpointError(f"{path} is truncated: tensor {name} ends at byte {header.data + end} of {size}")
