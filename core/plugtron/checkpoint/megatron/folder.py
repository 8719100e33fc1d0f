"""Where in a folder of Megatron's the checkpoint lies: which iteration, in which format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from plugtron.errors import CheckpointError
from plugtron.utils.json_file import read_mapping

__all__ = ["MegatronFolder", "find_folder"]

_LATEST = "latest_checkpointed_iteration.txt"
_ITERATION = re.compile(r"iter_\d{7,}|release")
_RANK = re.compile(r"mp_rank_\d{2,}(_\d{3,}){0,2}")


#: How Megatron writes what it has in another format as one that is read.
_IN_MEGATRON = "in Megatron, load it and add --ckpt-convert-format torch_dist --ckpt-convert-save FOLDER"


@dataclass(frozen=True, slots=True)
class MegatronFolder:
    """One iteration's folder, and how it was saved."""

    path: Path
    format: Literal["torch_dist", "torch"]


def find_folder(path: Path) -> MegatronFolder | None:
    """Return the folder of the latest iteration, or `path` itself when it is an iteration's; None for anything else.

    Raises:
        CheckpointError: the latest iteration is not there, or in a format that is not read.
    """
    if not path.is_dir():
        return None
    latest = path / _LATEST
    if not latest.is_file():
        return _formatted(path) if _looks_saved(path) else None
    try:
        written = latest.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        written = ""
    if written != "release" and not (written.isascii() and written.isdecimal() and len(written) < 20):
        raise CheckpointError(f"{latest}: {written[:40]!r} is neither a number nor 'release'")
    folder = path / (written if written == "release" else f"iter_{int(written):07d}")
    if not folder.is_dir():
        there = ", ".join(sorted(entry.name for entry in path.iterdir() if _ITERATION.fullmatch(entry.name)))
        raise CheckpointError(f"{latest} names {folder.name}, which is not there (there are: {there or 'none'})")
    return _formatted(folder)


def _looks_saved(folder: Path) -> bool:
    files = (".metadata", "common.pt")
    return any((folder / name).is_file() for name in files) or any(_ranks(folder)) or _is_zarr(folder)


def _is_zarr(folder: Path) -> bool:
    return any((entry / ".zarray").is_file() for entry in folder.iterdir())


def _ranks(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if _RANK.fullmatch(entry.name))


def _formatted(folder: Path) -> MegatronFolder:
    description = folder / "metadata.json"
    if description.is_file():
        backend = read_mapping(description, CheckpointError).get("sharded_backend")
        if backend != "torch_dist":
            raise CheckpointError(f"{description}: sharded_backend {backend!r} is not read; {_IN_MEGATRON}")
    elif _is_zarr(folder):
        raise CheckpointError(f"{folder}: its tensors are saved as zarr, which is not read; {_IN_MEGATRON}")
    elif (folder / ".metadata").is_file() and not (folder / "common.pt").is_file():
        raise CheckpointError(
            f"{folder} is a plain checkpoint of torch.distributed.checkpoint (FSDP, or Megatron's torch_dcp and "
            f"fsdp_dtensor), which is not read; {_IN_MEGATRON}; a model of transformers: python -m "
            "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt, then save_pretrained"
        )
    if (folder / ".metadata").is_file() or description.is_file():
        for name in (".metadata", "common.pt"):
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder} lacks {name}: the checkpoint is incomplete")
        return MegatronFolder(folder, "torch_dist")
    if _ranks(folder):
        return MegatronFolder(folder, "torch")
    raise CheckpointError(f"{folder} holds neither .metadata nor mp_rank folders: no checkpoint of Megatron's")
