"""Checkpoints of Megatron Core: a folder of iterations, each distributed (torch_dist) or one file per rank (torch)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugtron.checkpoint.megatron.folder import MegatronFolder, find_folder
from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription, TensorInfo
from plugtron.errors import CheckpointError
from plugtron.formats.megatron_tokenizer_files import saved_tokenizer

if TYPE_CHECKING:
    import torch

    from plugtron.checkpoint.megatron.shards import BlockTensor

__all__ = ["MegatronReader"]

_FLOATS = ("float32", "bfloat16", "float16", "float64")


class MegatronReader(CheckpointReader):
    """Reads a checkpoint of Megatron Core's GPTModel, whatever it was saved with.

    Tensors have one name each (see `megatron_names`), layers and experts are apart and ranks' pieces together. The
    configuration is the arguments that were saved. Pickles are read through a closed table; nothing of them is run.
    """

    @classmethod
    def describe(cls, path: Path) -> ModelDescription | None:
        """Read the saved arguments; None for what is no folder of Megatron's."""
        folder = find_folder(path)
        if folder is None:
            return None
        arguments = _arguments(folder)
        tokenizer = saved_tokenizer(path, arguments)
        return ModelDescription(
            format="megatron",
            path=path,
            architecture="GPTModel",
            configuration=arguments,
            tokenizer=f"megatron/{tokenizer}" if tokenizer else None,
        )

    @cached_property
    def _tensors(self) -> dict[str, BlockTensor]:
        folder = find_folder(self.path)
        if folder is None:
            raise CheckpointError(f"{self.path} is no checkpoint of Megatron's")
        # Imported here, as in `_arguments`: every check of a spec asks whether a path is Megatron's, and few are.
        from plugtron.checkpoint.megatron.legacy import legacy_tensors
        from plugtron.checkpoint.megatron.torch_dist import dist_tensors

        try:
            if folder.format == "torch_dist":
                return dist_tensors(folder.path)
            return legacy_tensors(folder.path, _arguments(folder))
        except CheckpointError:
            raise
        # A pickle may hold anything in any place: this is what fields of other types and sizes make readers raise.
        except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder.path} does not hold what Megatron writes: {type(error).__name__}: {error}"
            ) from error

    @cached_property
    def _infos(self) -> dict[str, TensorInfo]:
        return {name: tensor.info for name, tensor in self._tensors.items()}

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors of the model by their one name."""
        return self._infos

    def read(self, name: str, part: tuple[slice, ...] = ()) -> torch.Tensor:
        """Return a tensor, or a part of it."""
        tensor = self._tensors[name]
        if tensor.dtype not in _FLOATS:
            raise CheckpointError(
                f"tensor {name} in {tensor.info.file} is of type {tensor.dtype} (accepted: {', '.join(_FLOATS)})"
            )
        return tensor.read(part)


def _arguments(folder: MegatronFolder) -> dict[str, Any]:
    from plugtron.checkpoint.megatron.args import plain_arguments
    from plugtron.checkpoint.megatron.legacy import first_file
    from plugtron.formats.torch_archive import TorchArchive

    file = folder.path / "common.pt" if folder.format == "torch_dist" else first_file(folder.path)
    return plain_arguments(TorchArchive(file).load(), file)
