"""The one configurable decoder: what Llama, and the many that are Llama in all but name, are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from plugtron.context.memory import LayerState, MemoryView
from plugtron.nn.attention import Attention
from plugtron.nn.config import DecoderConfig
from plugtron.nn.mlp import GatedMLP
from plugtron.nn.norms import RMSNorm
from plugtron.nn.rotary import Rotary, Rotation
from plugtron.parallel.layers import VocabParallelEmbedding
from plugtron.parallel.runtime import Runtime

__all__ = ["TransformerDecoder", "TransformerLayer"]


class TransformerLayer(nn.Module):
    """h + attention(norm(h)), then h + mlp(norm(h))."""

    def __init__(self, config: DecoderConfig, runtime: Runtime, *, rotates: bool) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.norm_epsilon, runtime)
        self.attention = Attention(config, runtime, rotates=rotates)
        self.mlp_norm = RMSNorm(config.hidden_size, config.norm_epsilon, runtime)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size, runtime, bias=config.mlp_bias)

    def forward(self, hidden: Tensor, rotation: Rotation, state: LayerState, memory: MemoryView) -> Tensor:
        """Map [T, H] to [T, H]."""
        hidden = hidden + self.attention(self.attention_norm(hidden), rotation, state, memory)
        return hidden + self.mlp(self.mlp_norm(hidden))


class TransformerDecoder(nn.Module):
    """Embedding, layers, and head over them: this rank's share of each, with the layers of one range."""

    def __init__(self, config: DecoderConfig, layers: range, runtime: Runtime) -> None:
        super().__init__()
        self.embedding = VocabParallelEmbedding(config.vocab_size, config.hidden_size, runtime)
        self.stack = nn.ModuleList(TransformerLayer(config, runtime, rotates=config.rotates[layer]) for layer in layers)
        self.final_norm = RMSNorm(config.hidden_size, config.norm_epsilon, runtime)
        self.output = (
            self.embedding if config.tied else VocabParallelEmbedding(config.vocab_size, config.hidden_size, runtime)
        )
        self._rotary = Rotary(config.rotary, config.head_dim, runtime.device, runtime.dtype)

    @property
    def layers(self) -> Sequence[TransformerLayer]:
        """This rank's layers, in order."""
        return cast(Sequence[TransformerLayer], self.stack)

    def embed(self, tokens: Tensor) -> Tensor:
        """Map ids [T] to hidden states [T, H]."""
        return self.embedding(tokens)

    def rotation(self, positions: Tensor) -> Rotation:
        """Compute what all layers of a step share, from positions [T]."""
        return self._rotary(positions)

    def head(self, hidden: Tensor) -> Tensor:
        """Map hidden states [N, H] to this rank's logits [N, V / tp]."""
        return self.output.logits(self.final_norm(hidden))
