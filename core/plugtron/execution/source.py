"""What an execution needs of a model: its decoder, empty or with weights, and nothing of how steps are laid out."""

from __future__ import annotations

from typing import Protocol, Self

from plugtron.checkpoint.loader import Blocks
from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription
from plugtron.contracts.wrapper import Decoder, ModelInfo
from plugtron.nn.config import DecoderConfig
from plugtron.parallel.runtime import Runtime

__all__ = ["DecoderSource"]


class DecoderSource(Protocol):
    """A model that decoders can be had from. `layers` are those of this rank's pipeline stage."""

    runtime: Runtime
    checkpoint: CheckpointReader
    model: ModelDescription
    config: DecoderConfig
    info: ModelInfo
    layers: range

    def build(self, layers: range) -> Decoder:
        """Return the decoder with these layers, its parameters allocated and not read."""
        ...

    def load(self, layers: range, blocks: Blocks | None = None) -> Decoder:
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
