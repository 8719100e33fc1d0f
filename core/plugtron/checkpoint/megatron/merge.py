"""Putting the tensor-parallel pieces of a legacy checkpoint side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from plugtron.checkpoint.megatron.shards import Block, BlockTensor
from plugtron.errors import CheckpointError
from plugtron.formats.inert_pickle import StoredTensor
from plugtron.formats.torch_archive import TorchArchive

__all__ = ["Piece", "merged"]

#: Which axis the ranks share, by the end of the name; of all others each rank holds the whole.
_AXES = {
    "word_embeddings.weight": 0,
    "output_layer.weight": 0,
    "linear_qkv.weight": 0,
    "linear_qkv.bias": 0,
    "linear_fc1.weight": 0,
    "linear_fc1.bias": 0,
    "linear_proj.weight": 1,
    "linear_fc2.weight": 1,
    "eh_proj.weight": 0,
    "core_attention.softmax_offset": 0,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """What one rank saved of a tensor, and where."""

    file: Path
    stored: StoredTensor
    archive: TorchArchive


def merged(
    name: str, found: Mapping[int, Piece], ranks: int, everything: Mapping[str, Mapping[int, Piece]]
) -> BlockTensor:
    """Return the whole tensor.

    Raises:
        CheckpointError: a rank has no piece of it, or one of another shape than the others.
    """
    shape, dtype = found[min(found)].stored.shape, found[min(found)].stored.dtype
    for rank in range(ranks):
        if rank not in found:
            raise CheckpointError(f"tensor {name} is missing in the file of tensor rank {rank}")
        if found[rank].stored.shape != shape:
            raise CheckpointError(
                f"tensor {name} in {found[rank].file} has shape {list(found[rank].stored.shape)}, and "
                f"{list(shape)} in {found[min(found)].file}"
            )
    axis = next((axis for end, axis in _AXES.items() if name.endswith(f".{end}")), None)
    axis = 0 if name == "output_layer.weight" else axis
    if axis is None or ranks == 1:
        return _whole(name, shape, dtype, [_block(found[0], (0,) * len(shape), (0,) * len(shape), shape)])
    if _is_gated(name, everything):
        return _gated(name, found, ranks)
    blocks = []
    for rank in range(ranks):
        start = tuple(rank * size if at == axis else 0 for at, size in enumerate(shape))
        blocks.append(_block(found[rank], start, (0,) * len(shape), shape))
    total = tuple(size * ranks if at == axis else size for at, size in enumerate(shape))
    return _whole(name, total, dtype, blocks)


def _gated(name: str, found: Mapping[int, Piece], ranks: int) -> BlockTensor:
    """Each rank has its gate's rows and then its up's; the whole has all gate rows first."""
    shape = found[0].stored.shape
    half, others = shape[0] // 2, shape[1:]
    blocks = [
        _block(
            found[rank],
            (part * half * ranks + rank * half, *(0 for _ in others)),
            (part * half, *(0 for _ in others)),
            (half, *others),
        )
        for part in range(2)
        for rank in range(ranks)
    ]
    return _whole(name, (shape[0] * ranks, *others), found[0].stored.dtype, blocks)


def _is_gated(name: str, everything: Mapping[str, Mapping[int, Piece]]) -> bool:
    """Whether a first linear layer has twice the rows that the second has columns."""
    if ".linear_fc1." not in name:
        return False
    prefix = name.partition(".linear_fc1.")[0]
    into, down = everything.get(f"{prefix}.linear_fc1.weight"), everything.get(f"{prefix}.linear_fc2.weight")
    if not into or not down:
        raise CheckpointError(f"tensor {name}: the other linear layer of its MLP is missing")
    return next(iter(into.values())).stored.shape[0] == 2 * next(iter(down.values())).stored.shape[1]


def _block(piece: Piece, start: tuple[int, ...], inner: tuple[int, ...], shape: tuple[int, ...]) -> Block:
    return Block(start=start, shape=shape, inner=inner, file=piece.file, read=partial(piece.archive.read, piece.stored))


def _whole(name: str, shape: tuple[int, ...], dtype: str, blocks: list[Block]) -> BlockTensor:
    return BlockTensor(name=name, shape=shape, dtype=dtype, blocks=tuple(blocks))
