"""Megatron's distributed checkpoints (torch_dist): every tensor whole, in chunks over files.

Format: torch.distributed.checkpoint's, `.metadata` a pickle of where which chunk lies, `.distcp` files a row of
archives of torch.save, one per chunk. Layers may be stacked in one tensor, or have a key each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugtron.checkpoint.megatron.names import canonical, gate_half, is_state, stacked_axes
from plugtron.checkpoint.megatron.shards import Block, BlockTensor
from plugtron.errors import CheckpointError
from plugtron.formats.inert_pickle import Record, StoredTensor, read_pickle
from plugtron.formats.torch_archive import TorchArchive

if TYPE_CHECKING:
    import torch

__all__ = ["dist_tensors"]

Shape = tuple[int, ...]


class _Chunk:
    """One stored array of a key: opened when it is read."""

    def __init__(self, key: str, start: Shape, shape: Shape, region: tuple[Path, int, int]) -> None:
        self.key = key
        self.start = start
        self.shape = shape
        self.file, self.offset, self.length = region

    def read(self, part: Sequence[slice]) -> torch.Tensor:
        archive = TorchArchive(self.file, self.offset, self.length)
        stored = archive.load()
        if not isinstance(stored, StoredTensor):
            raise CheckpointError(f"{self.file} holds no tensor at byte {self.offset}")
        if stored.shape != self.shape:
            raise CheckpointError(
                f"{self.file} holds a chunk of shape {list(stored.shape)}, expected {list(self.shape)}"
            )
        return archive.read(stored, part)


def dist_tensors(folder: Path) -> dict[str, BlockTensor]:
    """All tensors of the model by their one name.

    Raises:
        CheckpointError: a file is missing or too short for a tensor, or a tensor has holes; with both.
    """
    metadata = read_pickle((folder / ".metadata").read_bytes(), folder / ".metadata")
    keys, places = _field(metadata, "state_dict_metadata", folder), _field(metadata, "storage_data", folder)
    regions = {
        (index.get("fqn"), tuple(index.get("offset") or ())): _region(place, folder)
        for index, place in places.items()
        if isinstance(index, Record) and index.get("offset") is not None
    }
    found: dict[str, BlockTensor] = {}
    halves: dict[str, dict[int, BlockTensor]] = {}
    sizes: dict[Path, int] = {}
    for key, entry in keys.items():
        if is_state(key) or not isinstance(entry, Record) or not isinstance(entry.get("chunks"), list):
            continue
        shape = tuple(entry.get("size"))
        chunks = [_chunk(key, chunk, regions, folder) for chunk in entry.get("chunks")]
        _check_files(key, shape, chunks, sizes, folder)
        for tensor in _unstacked(key, shape, _dtype(entry), chunks):
            half = gate_half(tensor.name)
            if half is None:
                found[tensor.name] = tensor
            else:
                halves.setdefault(half[0], {})[half[1]] = tensor
    for name, pair in halves.items():
        found[name] = _joined(name, pair, folder)
    return found


def _field(metadata: Any, name: str, folder: Path) -> dict[Any, Any]:
    value = metadata.get(name) if isinstance(metadata, Record) else None
    if not isinstance(value, dict):
        raise CheckpointError(f"{folder / '.metadata'}: {name} is missing")
    return value


def _region(place: Any, folder: Path) -> tuple[Path, int, int]:
    name = place.get("relative_path")
    if place.get("transform_descriptors"):
        raise CheckpointError(f"{folder / str(name)}: compressed chunks are not read")
    if not isinstance(name, str) or Path(name).name != name:
        raise CheckpointError(f"{folder / '.metadata'}: {name!r} lies outside the folder")
    return folder / name, int(place.get("offset")), int(place.get("length"))


def _chunk(key: str, chunk: Any, regions: dict[Any, tuple[Path, int, int]], folder: Path) -> _Chunk:
    start, shape = tuple(chunk.get("offsets")), tuple(chunk.get("sizes"))
    region = regions.get((key, start))
    if region is None:
        raise CheckpointError(f"{folder / '.metadata'}: tensor {key}: the chunk at {list(start)} is in no file")
    return _Chunk(key, start, shape, region)


def _dtype(entry: Record) -> str:
    properties = entry.get("properties")
    state = properties.state if isinstance(properties, Record) else None
    dtype = state[0] if isinstance(state, tuple) and state else state.get("dtype") if isinstance(state, dict) else None
    return str(dtype).removeprefix("torch.")


def _check_files(key: str, shape: Shape, chunks: Sequence[_Chunk], sizes: dict[Path, int], folder: Path) -> None:
    for chunk in chunks:
        if chunk.file not in sizes:
            if not chunk.file.is_file():
                raise CheckpointError(f"tensor {key}: {chunk.file} is not there")
            sizes[chunk.file] = chunk.file.stat().st_size
        if chunk.length < _volume(chunk.shape) or len(chunk.shape) != len(shape):
            raise CheckpointError(f"tensor {key}: {chunk.length} bytes of {chunk.file} hold no {list(chunk.shape)}")
        if chunk.offset + chunk.length > sizes[chunk.file]:
            raise CheckpointError(
                f"tensor {key}: {chunk.file} is truncated: it has {sizes[chunk.file]} bytes of "
                f"{chunk.offset + chunk.length}"
            )
    if sum(_volume(chunk.shape) for chunk in chunks) != _volume(shape):
        raise CheckpointError(f"tensor {key}: its chunks in {folder} do not make up its shape {list(shape)}")


def _volume(shape: Shape) -> int:
    volume = 1
    for size in shape:
        volume *= size
    return volume


def _unstacked(key: str, shape: Shape, dtype: str, chunks: Sequence[_Chunk]) -> Iterator[BlockTensor]:
    """The tensors of single layers and experts that one key stands for."""
    axes = stacked_axes(key)
    depth = len(axes)
    for numbers in product(*(range(size) for size in shape[:depth])):
        name = key
        for template, number in zip(axes, numbers, strict=True):
            name = name.replace(template, f"{template}{number}.", 1)
        name = canonical(name)
        blocks = tuple(_block(chunk, numbers) for chunk in chunks if _covers(chunk, numbers))
        yield BlockTensor(name=name, shape=shape[depth:], dtype=dtype, blocks=blocks)


def _covers(chunk: _Chunk, numbers: Shape) -> bool:
    return all(at <= number < at + size for number, at, size in zip(numbers, chunk.start, chunk.shape, strict=False))


def _block(chunk: _Chunk, numbers: Shape) -> Block:
    depth = len(numbers)
    front = tuple(number - at for number, at in zip(numbers, chunk.start, strict=False))
    return Block(
        start=chunk.start[depth:],
        shape=chunk.shape[depth:],
        inner=(*front, *(0 for _ in chunk.shape[depth:])),
        file=chunk.file,
        read=chunk.read,
    )


def _joined(name: str, pair: dict[int, BlockTensor], folder: Path) -> BlockTensor:
    """Gate and up of a gated linear layer, saved apart, as one tensor: the gate's rows first."""
    if len(pair) != 2:
        raise CheckpointError(f"{folder}: tensor {name} lacks one of its halves, {name}_w and {name}_v")
    gate, up = pair[0], pair[1]
    rows = gate.shape[0]
    moved = tuple(
        Block(
            start=(block.start[0] + rows, *block.start[1:]),
            shape=block.shape,
            inner=block.inner,
            file=block.file,
            read=block.read,
        )
        for block in up.blocks
    )
    shape = (rows + up.shape[0], *gate.shape[1:])
    return BlockTensor(name=name, shape=shape, dtype=gate.dtype, blocks=gate.blocks + moved)
