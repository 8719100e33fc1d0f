"""Megatron's legacy checkpoints (torch): one file per rank, with that rank's piece of each tensor.

`mp_rank_TT` is tensor-parallel rank TT; `mp_rank_TT_PPP`, `mp_rank_TT_EEE` and `mp_rank_TT_PPP_EEE` add the pipeline
stage and the expert-parallel rank. A file has the layers of its stage numbered from 0, and under `model0`, `model1`,
... its chunks when the pipeline was interleaved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from plugtron.checkpoint.megatron.merge import Piece, merged
from plugtron.checkpoint.megatron.names import canonical, is_state
from plugtron.checkpoint.megatron.shards import BlockTensor
from plugtron.errors import CheckpointError
from plugtron.formats.inert_pickle import StoredTensor
from plugtron.formats.torch_archive import TorchArchive

__all__ = ["first_file", "legacy_tensors"]

_FILES = ("model_optim_rng.pt", "model_rng.pt")
_FOLDER = re.compile(r"mp_rank_(\d+)(?:_(\d+))?(?:_(\d+))?")
_LAYER = re.compile(r"^decoder\.layers\.(\d+)\.")
_LOCAL_EXPERT = re.compile(r"(\.local_experts\.)(\d+)(\.)")
_ROUTER = ".mlp.router.weight"
_GROUPED = re.compile(r"^(.*\.mlp\.experts)\.weight([12])$")


@dataclass(frozen=True, slots=True)
class _RankFile:
    """A file and which rank wrote it."""

    file: Path
    tensor: int
    pipeline: int
    expert: int


def first_file(folder: Path) -> Path:
    """The file that any rank's saved arguments can be read from.

    Raises:
        CheckpointError: there is none.
    """
    return _rank_files(folder, pipelined=True)[0].file


def legacy_tensors(folder: Path, arguments: Mapping[str, Any]) -> dict[str, BlockTensor]:
    """All tensors of the model by their one name, merged from the ranks' pieces.

    Raises:
        CheckpointError: a rank's file is missing, truncated, or holds something else than its neighbors.
    """
    files = _rank_files(folder, pipelined=int(arguments.get("pipeline_model_parallel_size") or 1) > 1)
    _check_complete(folder, files, arguments)
    shared = arguments.get("expert_tensor_parallel_size")
    if shared not in (None, arguments.get("tensor_model_parallel_size")):
        raise CheckpointError(f"{folder}: expert_tensor_parallel_size {shared}, unlike tensor_model_parallel_size")
    opened = {entry: _open(entry, files) for entry in files}
    archives = {entry: archive for entry, (archive, _) in opened.items()}
    chunks = {entry: own for entry, (_, own) in opened.items()}
    offsets = _layer_offsets(files, chunks)
    experts = _experts_per_rank(chunks.values(), 1 + max(entry.expert for entry in files))
    pieces: dict[str, dict[int, Piece]] = {}
    for entry in files:
        for number, chunk in enumerate(chunks[entry]):
            for name, stored in _tensors(chunk, experts):
                whole = _global(name, offsets[number, entry.pipeline], entry.expert * experts)
                piece = Piece(entry.file, stored, archives[entry])
                pieces.setdefault(whole, {}).setdefault(entry.tensor, piece)
    ranks = 1 + max(entry.tensor for entry in files)
    return {name: merged(name, found, ranks, pieces) for name, found in pieces.items()}


def _rank_files(folder: Path, *, pipelined: bool) -> list[_RankFile]:
    found = []
    for entry in sorted(folder.iterdir()):
        match = _FOLDER.fullmatch(entry.name)
        if match is None:
            continue
        file = next((entry / name for name in _FILES if (entry / name).is_file()), None)
        if file is None:
            file = entry / _FILES[0]  # opening it will say that it is not there
        numbers = [int(number) for number in match.groups()[1:] if number is not None]
        if len(numbers) == 1:
            numbers = [numbers[0], 0] if pipelined else [0, numbers[0]]
        pipeline, expert = numbers or (0, 0)
        found.append(_RankFile(file, int(match[1]), pipeline, expert))
    if not found:
        raise CheckpointError(f"{folder} has no mp_rank folders")
    return found


def _check_complete(folder: Path, files: Sequence[_RankFile], arguments: Mapping[str, Any]) -> None:
    """Every combination of ranks must be there; the arguments say how many of each, the folders at least how many."""
    sizes = []
    for field, ranks in (
        ("tensor_model_parallel_size", {entry.tensor for entry in files}),
        ("pipeline_model_parallel_size", {entry.pipeline for entry in files}),
        ("expert_model_parallel_size", {entry.expert for entry in files}),
    ):
        saved = arguments.get(field)
        sizes.append(max(saved if isinstance(saved, int) else 1, 1 + max(ranks)))
    there = {(entry.tensor, entry.pipeline, entry.expert) for entry in files}
    combinations = product(*(range(min(size, len(there) + 1)) for size in sizes))
    missing = next((ranks for ranks in combinations if ranks not in there), None)
    if missing is not None:
        tensor, pipeline, expert = missing
        raise CheckpointError(
            f"{folder} lacks the file of tensor rank {tensor}, pipeline stage {pipeline}, expert rank {expert}: it was "
            f"saved by {sizes[0]} x {sizes[1]} x {sizes[2]} ranks, so {_example(files)} and its like have a hole"
        )


def _open(entry: _RankFile, files: Sequence[_RankFile]) -> tuple[TorchArchive, list[Mapping[str, Any]]]:
    try:
        archive = TorchArchive(entry.file)
        return archive, _chunks(archive)
    except CheckpointError as error:
        neighbors = [other for other in files if other != entry and other.pipeline == entry.pipeline]
        example = _example(neighbors)
        raise CheckpointError(f"{example} and its like cannot be read: {error}" if example else str(error)) from None


def _example(files: Sequence[_RankFile]) -> str:
    """The name of a tensor that the first of these files that can be read has a piece of."""
    for entry in files:
        try:
            names = [name for chunk in _chunks(TorchArchive(entry.file)) for name, _ in _tensors(chunk, 1)]
        except CheckpointError:
            continue  # it will be complained of in its turn
        if names:
            return f"tensor {names[0]}"
    return ""


def _chunks(archive: TorchArchive) -> list[Mapping[str, Any]]:
    """The state dicts of a file, in the order of its interleaved chunks."""
    saved = archive.load()
    if not isinstance(saved, dict):
        raise CheckpointError(f"{archive.file} holds no checkpoint of Megatron's")
    names = ["model"] if "model" in saved else [f"model{n}" for n in range(len(saved)) if f"model{n}" in saved]
    chunks = [saved[name] for name in names]
    if not chunks or not all(isinstance(chunk, dict) for chunk in chunks):
        raise CheckpointError(f"{archive.file} holds no model (found: {', '.join(map(str, list(saved)[:8]))})")
    return chunks


def _tensors(chunk: Mapping[str, Any], experts: int) -> Iterator[tuple[str, StoredTensor]]:
    """A chunk's tensors by their one name; experts whose weights are one tensor, each by itself."""
    for name, value in chunk.items():
        if not isinstance(name, str) or not isinstance(value, StoredTensor) or is_state(name):
            continue
        match = _GROUPED.match(canonical(name))
        if match is None:
            yield canonical(name), value
        else:
            yield from _grouped(match[1], match[2], value, experts)


def _grouped(prefix: str, which: str, value: StoredTensor, experts: int) -> Iterator[tuple[str, StoredTensor]]:
    """weight1 is [H, E · F] and weight2 [E · F, H]: in memory, E matrices the other way round from a linear layer's."""
    hidden = value.shape[0] if which == "1" else value.shape[1]
    width = value.shape[0] * value.shape[1] // (experts * hidden)
    inputs, outputs = (hidden, width) if which == "1" else (width, hidden)
    for expert in range(experts):
        at = value.offset + expert * inputs * outputs
        view = replace(value, shape=(outputs, inputs), strides=(1, outputs), offset=at)
        yield f"{prefix}.local_experts.{expert}.linear_fc{which}.weight", view


def _layer_offsets(
    files: Sequence[_RankFile], chunks: Mapping[_RankFile, Sequence[Mapping[str, Any]]]
) -> dict[tuple[int, int], int]:
    """Where in the model the layers of each chunk of each stage begin: chunk by chunk, and stage by stage in each."""
    counts = {len(own) for own in chunks.values()}
    if len(counts) != 1:
        raise CheckpointError(f"{files[0].file} and its neighbors hold different numbers of chunks: {sorted(counts)}")
    stages = sorted({entry.pipeline for entry in files})
    first = {entry.pipeline: entry for entry in reversed(files)}
    offsets, at = {}, 0
    for number in range(max(len(own) for own in chunks.values())):
        for stage in stages:
            offsets[number, stage] = at
            numbers = [int(match[1]) for name in chunks[first[stage]][number] if (match := _LAYER.match(name))]
            at += max(numbers, default=-1) + 1
    return offsets


def _experts_per_rank(chunks: Iterable[Sequence[Mapping[str, Any]]], ranks: int) -> int:
    """How many experts each expert-parallel rank has: every rank's router knows them all."""
    routers = (value for own in chunks for chunk in own for name, value in chunk.items() if str(name).endswith(_ROUTER))
    return next((value.shape[0] // ranks for value in routers if isinstance(value, StoredTensor)), 0)


def _global(name: str, layers: int, experts: int) -> str:
    """A rank's own numbers of layers and experts, as the model counts them."""
    name = _LAYER.sub(lambda match: f"decoder.layers.{int(match[1]) + layers}.", name)
    return _LOCAL_EXPERT.sub(lambda match: f"{match[1]}{int(match[2]) + experts}{match[3]}", name)
