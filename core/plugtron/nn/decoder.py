"""The one configurable decoder: what GPT, Llama, and the many that are one of them in all but name, are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from torch import Tensor, nn

from plugtron.contracts.memory import AttentionMetadata, LayerState
from plugtron.nn.attention import Attention
from plugtron.nn.config import DecoderConfig
from plugtron.nn.experts import MixtureOfExperts
from plugtron.nn.mlp import make_mlp
from plugtron.nn.norms import make_norm
from plugtron.nn.positions import LearnedPositions
from plugtron.nn.rotary import Rotary, Rotation, growth
from plugtron.parallel.layers import VocabParallelEmbedding, VocabParallelHead
from plugtron.parallel.runtime import Runtime

__all__ = ["TransformerDecoder", "TransformerLayer"]


class TransformerLayer(nn.Module):
    """h + attention(norm(h)), then h + mlp(norm(h)).

    Attributes:
        attention_class: what makes its attention of configuration, number and runtime.
    """

    attention_class: ClassVar[type[Attention]] = Attention

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__()
        self.attention_norm = make_norm(config, config.hidden_size, runtime)
        self.attention = self.attention_class(config, layer, runtime)
        self.mlp_norm = make_norm(config, config.hidden_size, runtime)
        self.mlp = (
            MixtureOfExperts(config, runtime)
            if config.is_sparse(layer)
            else make_mlp(config, config.intermediate_size, runtime)
        )

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        hidden = hidden + self.attention(self.attention_norm(hidden), rotation, state, memory)
        return hidden + self.mlp(self.mlp_norm(hidden))


class TransformerDecoder(nn.Module):
    """Embedding, layers, and head over them: this rank's share of each, with the layers of one range.

    The embedding belongs to the first layer, the head to the last; a range without them has none.

    Attributes:
        layer_class: what makes a layer of configuration, number and runtime.
    """

    layer_class: ClassVar[type[nn.Module]] = TransformerLayer

    def __init__(self, config: DecoderConfig, layers: range, runtime: Runtime) -> None:
        super().__init__()
        self.config = config
        first, last = layers.start == 0, layers.stop == config.num_layers
        rows = config.padded_vocab_size or config.vocab_size

        shape = rows, config.embedding_size or config.hidden_size
        self.embedding = VocabParallelEmbedding(*shape, runtime) if first or (last and config.tied) else None
        learned = first and config.learned_positions
        self.positions = LearnedPositions(config, runtime) if learned else None
        self.stack = nn.ModuleList(self.layer_class(config, layer, runtime) for layer in layers)
        self.final_norm = make_norm(config, config.hidden_size, runtime) if last and config.final_norm else None
        tied = self.embedding if config.tied else None
        self.output = VocabParallelHead(*shape, runtime, tied=tied, bias=config.head_bias) if last else None
        self._dtype = runtime.dtype
        self._rotaries = [Rotary(rotary, config.head_dim, runtime.device, runtime.dtype) for rotary in config.rotaries]

    @property
    def layers(self) -> Sequence[TransformerLayer]:
        """This rank's layers, in order."""
        return cast(Sequence[TransformerLayer], self.stack)

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Map ids and positions [T] to hidden states [T, H]."""
        assert self.embedding is not None, "only the first range of layers has the embedding"
        hidden = self.embedding(tokens)
        return hidden if self.positions is None else hidden + self.positions(positions)

    def rotation(self, positions: Tensor) -> Rotation | None:
        """Compute what all layers of a step share, from positions [T]."""
        turns = tuple(part for rotary in self._rotaries for part in rotary(positions))
        grown = tuple(growth(each, positions, self._dtype) for each in self.config.different_temperatures)
        return turns + grown or None

    def final_states(self, hidden: Tensor) -> Tensor:
        """Map hidden states [N, H] after the last layer to what is projected to logits; the last range alone can."""
        return hidden if self.final_norm is None else self.final_norm(hidden)

    def head(self, hidden: Tensor) -> Tensor:
        """Map hidden states [N, H] to this rank's logits [N, V / tp]."""
        assert self.output is not None, "only the last range of layers has the head"
        return self.output(self.final_states(hidden))
