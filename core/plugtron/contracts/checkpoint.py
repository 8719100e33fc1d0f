"""Checkpoint readers: what a path holds, without reading it; then its tensors, only the bytes asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugtron.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from plugtron.quantization.weight import QuantizedWeight

__all__ = ["CheckpointReader", "ModelDescription", "TensorInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """What the headers of a checkpoint say, torch-free.

    `format` and `architecture` select the wrapper ("huggingface/LlamaForCausalLM"), `configuration` is in the format's
    own vocabulary, `tokenizer` names what a tokenizer can be built from (None: nothing is there). `eos_ids` end a text
    even where there is no tokenizer to say so. `quantization` is the method that the weights are held by where a spec
    names none (None: in the run's dtype). `backbone`: its weights have no head, unless that is the embedding.
    """

    format: str
    path: Path
    architecture: str
    configuration: Mapping[str, Any]
    tokenizer: str | None = None
    eos_ids: tuple[int, ...] = ()
    quantization: str | None = None
    backbone: bool = False

    @property
    def provision(self) -> str:
        """What a wrapper's component lists under `provides` when it runs this model."""
        return f"{self.format}/{self.architecture}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """A tensor as stored: shape in torch's order, the format's name of its type, and the file it is in."""

    shape: tuple[int, ...]
    dtype: str
    file: Path


class CheckpointReader(ABC):
    """Reads one checkpoint. The module of a reader must import without torch; `read` may import it."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def model(self) -> ModelDescription:
        """What `describe` says of this checkpoint.

        Raises:
            CheckpointError: it is not in this reader's format.
        """
        description = self.describe(self.path)
        if description is None:
            what = f"is not what {type(self).__name__} reads" if self.path.exists() else "is not there"
            raise CheckpointError(f"{self.path} {what}")
        return description

    @classmethod
    @abstractmethod
    def describe(cls, path: Path) -> ModelDescription | None:
        """Say from headers alone what `path` holds; None when it is not this reader's format.

        Raises:
            CheckpointError: it is this format, and broken.
        """

    @property
    @abstractmethod
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All tensors by name.

        Raises:
            CheckpointError: a header is broken, or a file shorter than its header says.
        """

    @abstractmethod
    def read(self, name: str, part: tuple[slice, ...] = ()) -> torch.Tensor:
        """Return a tensor, or the part that one slice per leading axis selects, reading only what that needs.

        Floating point on the CPU, in the stored precision; block-quantized types come dequantized as float32.
        """

    def read_blocks(self, name: str, part: tuple[slice, ...] = ()) -> QuantizedWeight | None:  # noqa: ARG002 - for those that override it
        """Return a matrix that is stored in quantized blocks, or a part of it, without rounding anything.

        Of a stack of matrices [E, O, I] it is the rows of all of them that `part` selects, one after the other.
        None: it is not stored so, or in blocks that `QuantizedWeight` has no form for, or `part` divides blocks.
        """
        return None
