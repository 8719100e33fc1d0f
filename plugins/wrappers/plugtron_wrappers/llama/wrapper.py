"""The Llama family on the one configurable decoder."""

from __future__ import annotations

from plugtron import Options
from plugtron.contracts import CheckpointReader, Export, ModelDescription, ModelOptions, Parts, Runtime, WeightMap
from plugtron.execution import DecoderWrapper
from plugtron.nn import DecoderConfig, TransformerDecoder
from plugtron_wrappers.export import export
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.weights import huggingface_weights
from plugtron_wrappers.llama.huggingface import config_from_huggingface
from plugtron_wrappers.llama.relative import relative_of
from plugtron_wrappers.options import FamilyOptions

__all__ = ["LlamaWrapper"]


class LlamaWrapper(DecoderWrapper):
    """Runs Llama and its relatives from Hugging Face folders and GGUF files.

    Raises:
        CheckpointError: the configuration has a field that this family does not implement.
        ParallelError: the heads cannot be shared out over the ranks.
    """

    def __init__(
        self,
        runtime: Runtime,
        checkpoint: CheckpointReader,
        options: FamilyOptions | None = None,
        *,
        model: ModelDescription | None = None,
        model_options: ModelOptions | None = None,
    ) -> None:
        model = model or checkpoint.model
        config = _configuration(model, checkpoint, options or FamilyOptions())
        super().__init__(runtime, checkpoint, model, config, model_options)

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> LlamaWrapper:
        """Build from a spec."""
        assert isinstance(options, FamilyOptions)
        assert parts.checkpoint is not None
        return cls(parts.runtime, parts.checkpoint, options, model=parts.model, model_options=parts.options)

    def build(self, layers: range) -> TransformerDecoder:
        """Return the decoder with these layers."""
        return TransformerDecoder(self.config, layers, self.runtime)

    def export(self) -> Export:
        """Say how the model is written as a Hugging Face folder."""
        return export(self.config)

    def weight_map(self, format: str) -> WeightMap:  # noqa: A002 - the contract's word for it
        """Say where the parameters stand."""
        if format == "gguf":
            relative = relative_of(self.model.architecture)
            tensors = self.checkpoint.tensors
            return gguf_weights(self.config, tensors, norms=relative.gguf_norms, permuted=relative.permuted)
        return huggingface_weights(self.config)


def _configuration(model: ModelDescription, checkpoint: CheckpointReader, options: FamilyOptions) -> DecoderConfig:
    if model.format == "gguf":
        # Those of Mixtral have llama.cpp's name for Llama.
        score = "softmax_chosen" if model.architecture == "llama" else None
        return relative_of(model.architecture).from_gguf(config_from_gguf(model, checkpoint, score=score))
    return config_from_huggingface(model, frozenset(options.ignore_fields))
