"""Tensors that are stored in blocks, each in some file: reading a part of one takes what it meets of each block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plugtron.contracts.checkpoint import TensorInfo
from plugtron.errors import CheckpointError

if TYPE_CHECKING:
    import torch

__all__ = ["Block", "BlockTensor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A box of a tensor: where it begins and how large it is.

    `inner` is where the box begins in the stored array, which may have further axes in front, such as layers.
    `read` returns a part of the stored array, one slice per axis of it.
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]
    inner: tuple[int, ...]
    file: Path
    read: Callable[[Sequence[slice]], torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTensor:
    """A whole tensor and its blocks."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    blocks: tuple[Block, ...]

    @property
    def info(self) -> TensorInfo:
        """What a reader says of it; the first of its files stands for all."""
        return TensorInfo(shape=self.shape, dtype=self.dtype, file=self.blocks[0].file)

    def read(self, part: tuple[slice, ...]) -> torch.Tensor:
        """Return a part, reading from each block only what it has of it.

        Raises:
            CheckpointError: a block is broken, or blocks leave a hole; with the tensor and the file.
        """
        import torch

        wanted = [range(size)[part[axis] if axis < len(part) else slice(None)] for axis, size in enumerate(self.shape)]
        pieces: list[tuple[tuple[slice, ...], torch.Tensor]] = []
        for block in self.blocks:
            met = [
                range(max(want.start, at), min(want.stop, at + size))
                for want, at, size in zip(wanted, block.start, block.shape, strict=True)
            ]
            if all(met):
                target = tuple(slice(m.start - w.start, m.stop - w.start) for m, w in zip(met, wanted, strict=True))
                pieces.append((target, self._piece(block, met)))
        shape = [len(want) for want in wanted]
        if len(pieces) == 1 and list(pieces[0][1].shape) == shape:
            return pieces[0][1]
        if sum(piece.numel() for _, piece in pieces) != torch.Size(shape).numel():
            raise CheckpointError(f"tensor {self.name}: its blocks in {self._files()} do not make up the whole")
        if not pieces:
            return torch.empty(shape)
        whole = torch.empty(shape, dtype=pieces[0][1].dtype)
        for target, piece in pieces:
            whole[target] = piece
        return whole

    def _piece(self, block: Block, met: Sequence[range]) -> torch.Tensor:
        front = len(block.inner) - len(met)
        slices = [slice(at, at + 1) for at in block.inner[:front]]
        for m, at, inner in zip(met, block.start, block.inner[front:], strict=True):
            slices.append(slice(m.start - at + inner, m.stop - at + inner))
        try:
            return block.read(slices).reshape([len(m) for m in met])
        except CheckpointError as error:
            raise CheckpointError(f"tensor {self.name}: {error}") from None

    def _files(self) -> str:
        return ", ".join(sorted({block.file.name for block in self.blocks}))
