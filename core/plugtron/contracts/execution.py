"""How a decoder's steps are run: what a run asks for, what a model hands over, and who runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeAlias

from plugtron.errors import PluginError

if TYPE_CHECKING:
    import torch

    from plugtron.contracts.attention import AttentionBackend
    from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription
    from plugtron.contracts.context import InferenceContext
    from plugtron.contracts.decoder import Decoder, ModelInfo
    from plugtron.contracts.step import StepBatch, StepOutput
    from plugtron.parallel.runtime import Runtime
    from plugtron.quantization.method import QuantizationMethod
    from plugtron.quantization.weight import QuantizedWeight

__all__ = ["DecoderSource", "Execution", "ExecutionBackend", "ModelOptions", "StoredBlocks"]

#: What parameters hold that were read as they are stored: one weight for each of the tensors whose rows are stacked.
StoredBlocks: TypeAlias = "dict[torch.nn.Parameter, tuple[QuantizedWeight, ...]]"


class DecoderSource(Protocol):
    """A model that decoders can be had from.

    Attributes:
        layers: those of this rank's pipeline stage, of the `num_layers` that the model has.
        tied: the head is the embedding.
        fingerprint: a text that differs where anything differs that decoders are built from.
    """

    runtime: Runtime
    options: ModelOptions
    checkpoint: CheckpointReader
    model: ModelDescription
    info: ModelInfo
    layers: range

    @property
    def num_layers(self) -> int:
        """How many layers the model has."""
        ...

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding."""
        ...

    @property
    def fingerprint(self) -> str:
        """What decoders are built from, as a text."""
        ...

    def build(self, layers: range) -> Decoder:
        """Return the decoder with these layers, its parameters allocated and not read."""
        ...

    def load(self, layers: range, blocks: StoredBlocks | None = None) -> Decoder:
        """Return the decoder with these layers and this rank's weights, but for those that go to `blocks`."""
        ...

    def outline(self) -> Decoder:
        """Return this rank's decoder without its weights, and without the memory that they take."""
        ...

    def check(self) -> None:
        """Compare what this rank's decoder needs with what the checkpoint holds.

        Raises:
            CheckpointError: they differ; everything that does is in one message.
        """
        ...

    def over(self, runtime: Runtime) -> Self:
        """Return the same model over another runtime: another dtype, or another device."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What a spec says of a model's weights and steps.

    Args:
        quantization: how the weights of linear layers are held; None: in the runtime's dtype.
        kv_dtype: what keys and values are held in; None: the runtime's dtype.
        execution: how steps are run; None: native on a CPU, graph on a GPU, eager where that cannot be.
        attention: what a torch step attends with; None: plugtron's own.
        deterministic: a request's bits must not depend on what else is in its steps.
    """

    quantization: QuantizationMethod | None = None
    kv_dtype: torch.dtype | None = None
    execution: ExecutionBackend | None = None
    attention: AttentionBackend | None = None
    deterministic: bool = False


class Execution(ABC):
    """Runs steps over a decoder, or over a pipeline stage's share of one."""

    #: What hidden states are handed on in from stage to stage.
    hidden_dtype: torch.dtype

    @property
    @abstractmethod
    def weight_bytes(self) -> int:
        """How many bytes of weights a step reads, whatever its rows; lookup tables excluded."""

    @property
    @abstractmethod
    def layer_weights(self) -> int:
        """How many weights each token is multiplied with, the head's aside."""

    def peak_activation_bytes(self, rows: int, tokens: int, longest: int) -> int | None:
        """What steps of so many rows and tokens work in, besides weights and KV memory, in bytes; None: not known.

        `longest`: what a sequence may come to.
        """
        del rows, tokens, longest
        return None

    def prepare(self, context: InferenceContext) -> None:
        """Be ready for steps over a context; what has been prepared before may be used again."""

    def release(self) -> None:
        """Let go of the context that was prepared for, whose memory is about to be given back. Optional."""

    @abstractmethod
    def run(self, batch: StepBatch, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Run a step from its tokens, or from the hidden states [T, H] of the stage before.

        Returns:
            This rank's logits [N, V / tp] in float32; before the last stage hidden states [T, H].
        """

    def why_no_hidden_states(self, *, layers: bool = False) -> str:
        """Say why the last stage's `run_with_hidden_states` cannot be called; "" when it can.

        Args:
            layers: for batches with `hidden_layers`.
        """
        del layers
        return f"{type(self).__name__} gives logits alone"

    def run_with_hidden_states(self, batch: StepBatch, hidden: torch.Tensor | None = None) -> StepOutput:
        """Run a step of the last stage whose batch has a `hidden_index`, as `run` does."""
        del batch, hidden
        raise PluginError(f"{type(self).__name__} gives no hidden states")


class ExecutionBackend(ABC):
    """One way to run decoders' steps.

    Attributes:
        name: what messages call it.
        deterministic: a token's bits do not depend on what else is in its steps, where the run's options ask for that.
        samples: cutting logits down and drawing may go through kernels as well; else torch does it.
    """

    name: str
    deterministic: ClassVar[bool] = False
    samples: ClassVar[bool] = True

    @abstractmethod
    def why_not(self, source: DecoderSource) -> str:
        """Say why this rank cannot run a decoder in this way; "" when it can. Loads nothing."""

    @abstractmethod
    def load(self, source: DecoderSource) -> Execution:
        """Load this rank's weights, to be run; what steps are over, `Execution.prepare` says."""
