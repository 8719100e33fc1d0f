"""Hugging Face folders: config.json, and weights as safetensors in one file or several.

Format: https://huggingface.co/docs/safetensors. Pickled weights are refused: reading one runs whatever is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugtron.checkpoint.huggingface_config import METHOD, READ, architecture_of, is_backbone, quantization_method
from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription, TensorInfo
from plugtron.errors import CheckpointError
from plugtron.formats.huggingface_folder import read_special_tokens
from plugtron.utils.json_file import read_mapping

if TYPE_CHECKING:
    import torch

    from plugtron.quantization.weight import QuantizedWeight

__all__ = ["METHOD", "SafetensorsReader"]

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
#: What a tokenizer can be built from, best first; GPT-2's older folders have vocab.json and merges.txt.
_TOKENIZERS = ("tokenizer.json", "tokenizer.model")


class SafetensorsReader(CheckpointReader):
    """Reads a Hugging Face folder."""

    @classmethod
    def describe(cls, path: Path) -> ModelDescription | None:
        """Read config.json; None for what is no Hugging Face folder."""
        if path.suffix in _PICKLED:
            raise CheckpointError(f"{path} is pickled, and reading a pickle runs code: convert it to safetensors")
        if path.suffix == ".safetensors":
            raise CheckpointError(f"{path} has weights and no configuration: name its folder, with config.json in it")
        if not (path / "config.json").is_file():
            return None
        configuration = read_mapping(path / "config.json", CheckpointError)
        method = quantization_method(path, configuration)
        if method is not None:
            # Only how tensors are stored, which `read` and `read_blocks` see to.
            configuration = {name: value for name, value in configuration.items() if name != "quantization_config"}
        architectures = [architecture_of(path / "config.json", configuration)]
        if not (path / _SINGLE).is_file() and not (path / _INDEX).is_file():
            pickled = sorted(file.name for file in path.iterdir() if file.suffix in _PICKLED)
            if pickled:
                raise CheckpointError(
                    f"{path} has pickled weights ({', '.join(pickled)}), and reading a pickle runs code: convert them "
                    "to safetensors"
                )
            raise CheckpointError(f"{path} has neither {_SINGLE} nor {_INDEX}")
        kinds = (*_TOKENIZERS, "vocab.json") if architectures == ["GPT2LMHeadModel"] else _TOKENIZERS
        tokenizer = next((name for name in kinds if (path / name).is_file()), None)
        return ModelDescription(
            format="huggingface",
            path=path,
            architecture=architectures[0],
            configuration=configuration,
            tokenizer=tokenizer,
            eos_ids=read_special_tokens(path).eos_ids,
            quantization=None if method is None else READ[method],
            backbone=is_backbone(configuration),
        )

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by name; a quantized matrix is one, whatever it is stored as."""
        return self._matrices

    @cached_property
    def _tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by name, from the headers of all files."""
        found: dict[str, TensorInfo] = {}
        for file in self._files():
            with self._open(file) as handle:
                for name in handle.keys():  # noqa: SIM118 - no mapping, though it has keys
                    view = handle.get_slice(name)
                    found[name] = TensorInfo(shape=tuple(view.get_shape()), dtype=view.get_dtype(), file=file)
        return found

    @cached_property
    def _matrices(self) -> Mapping[str, TensorInfo]:
        from plugtron.checkpoint import mxfp4, quantized_safetensors

        return mxfp4.merged(quantized_safetensors.merged(self._tensors))

    def read(self, name: str, part: tuple[slice, ...] = ()) -> torch.Tensor:
        """Return a tensor, or a part of it; a quantized matrix dequantized."""
        if name in self._tensors:
            return self._read(name, part)
        from plugtron.checkpoint.mxfp4 import MXFP4, read_part

        if self.tensors[name].dtype == MXFP4:
            return read_part(name, self.tensors[name], part, self._read)
        blocks = self.read_blocks(name, part[:1])
        assert blocks is not None, "all of a matrix's columns are whole groups"
        return blocks.dense()[(slice(None), *part[1:])]

    def read_blocks(self, name: str, part: tuple[slice, ...] = ()) -> QuantizedWeight | None:
        """Return a quantized matrix, or some of a stack of them, as they are; None for any other tensor."""
        if name in self._tensors:
            return None
        from plugtron.checkpoint import mxfp4, quantized_safetensors

        stored = self.tensors[name]
        read = mxfp4.read_blocks if stored.dtype == mxfp4.MXFP4 else quantized_safetensors.from_stored
        return read(name, stored, part, self._read)

    def _read(self, name: str, part: tuple[slice, ...]) -> torch.Tensor:
        with self._open(self._tensors[name].file) as handle:
            return handle.get_slice(name)[part] if part else handle.get_tensor(name)

    def _files(self) -> list[Path]:
        if (self.path / _SINGLE).is_file():  # an index beside it is left over, from before the shards were merged
            return [self.path / _SINGLE]
        index = read_mapping(self.path / _INDEX, CheckpointError).get("weight_map")
        if not isinstance(index, dict):
            raise CheckpointError(f"{self.path / _INDEX}: weight_map is missing")
        names = sorted({str(name) for name in index.values()})
        for name in names:
            if Path(name).name != name:
                raise CheckpointError(f"{self.path / _INDEX}: {name!r} lies outside the folder")
            if not (self.path / name).is_file():
                raise CheckpointError(f"{self.path / _INDEX} names {name}, which is not there")
        return [self.path / name for name in names]

    def _open(self, file: Path) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            return safe_open(file, framework="pt")
        except SafetensorError as error:
            raise CheckpointError(f"{file} is truncated or no safetensors file: {error}") from None
