"""From a decoder's layers to the list of operations that the native step walks.

What the list holds is said in kernels/native/step.cpp; the numbers here are its enumerations'.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from itertools import groupby

from torch import Tensor, nn

from plugtron.checkpoint.loader import Blocks
from plugtron.contracts.quantised import GROUP, QuantisedWeight
from plugtron.kernels.native.binding import Op
from plugtron.nn.attention import Attention
from plugtron.nn.config import Activation
from plugtron.nn.decoder import TransformerDecoder, TransformerLayer
from plugtron.nn.mlp import MLP, GatedMLP
from plugtron.nn.norms import LayerNorm, RMSNorm
from plugtron.parallel.layers import VocabParallelEmbedding

__all__ = ["Listing", "NotNative"]

_ACTIVATIONS: tuple[Activation, ...] = ("silu", "gelu", "gelu_tanh", "gelu_quick", "relu", "relu_squared", "tanh")

#: attention.h has room for as many queries to a key-value head.
_MOST_GROUPED = 64


class NotNative(Exception):
    """A decoder has something that the native step does not know, and what."""


class _Kind(IntEnum):
    NORMALISE = 0
    QUANTISE = 1
    LINEAR = 2
    ROTATE = 3
    ATTEND = 4
    ACTIVATE = 5


class _Buffer(IntEnum):
    HIDDEN = 0
    QKV = 1
    ATTENDED = 2
    CHANNELS = 3
    LOGITS = 4


class _Flag(IntFlag):
    NONE = 0
    ADD = 1
    SELECTED = 2
    GATED = 4


@dataclass
class Listing:
    """The operations of a decoder, and the tensors that they point to.

    Args:
        bits: what the layers' weights are quantised to; the head has eight. None: all are in `blocks`.
        blocks: weights that are stored in quantised blocks, and are used as they are.
    """

    bits: int | None
    blocks: Blocks = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)

    def add_layer(self, layer: TransformerLayer, number: int) -> None:
        """Append a layer, whose weights may be let go of afterwards.

        Raises:
            NotNative: it has something else than attention and an MLP.
        """
        if not isinstance(layer.mlp, GatedMLP | MLP):
            raise NotNative(f"the step of a {type(layer.mlp).__name__}")
        self._normalise(layer.attention_norm)
        self._attention(layer.attention, number)
        self._normalise(layer.mlp_norm)
        self._mlp(layer.mlp)

    def add_head(self, decoder: TransformerDecoder) -> None:
        """Append the final norm and the head."""
        assert decoder.final_norm is not None
        assert isinstance(decoder.output, VocabParallelEmbedding)
        self._normalise(decoder.final_norm, _Flag.SELECTED)
        self._linear(decoder.output, _Buffer.LOGITS, _Flag.SELECTED, bits=self.bits and 8)

    def _attention(self, attention: Attention, number: int) -> None:
        shape = attention.shape
        query, key = attention.query_norm, attention.key_norm
        if isinstance(query, LayerNorm) or isinstance(key, LayerNorm):
            raise NotNative("layer normalisation of queries and keys")
        if shape.heads // shape.kv_heads > _MOST_GROUPED:
            raise NotNative(f"{shape.heads // shape.kv_heads} queries to a key-value head")
        heads = {"layer": number, "heads": shape.heads, "kv_heads": shape.kv_heads, "head_dim": shape.head_dim}
        self._linear(attention.qkv, _Buffer.QKV)
        self._append(
            _Kind.ROTATE,
            **heads,
            rotary=shape.rotary,
            weight=self._keep(None if query is None else query.weight),
            bias=self._keep(None if key is None else key.weight),
            epsilon=0.0 if query is None else query.epsilon,
        )
        self._append(_Kind.ATTEND, **heads, scale=shape.scale)
        self._append(_Kind.QUANTISE, source=_Buffer.ATTENDED, inputs=shape.heads * shape.head_dim)
        self._linear(attention.output, _Buffer.HIDDEN, _Flag.ADD)

    def _mlp(self, mlp: GatedMLP | MLP) -> None:
        gated = isinstance(mlp, GatedMLP)
        self._linear(mlp.gate_up if gated else mlp.up, _Buffer.CHANNELS)
        self._append(
            _Kind.ACTIVATE,
            source=_Buffer.CHANNELS,
            inputs=mlp.down.weight.shape[1],
            layer=_ACTIVATIONS.index(mlp.activation_name),
            flags=_Flag.GATED if gated else _Flag.NONE,
        )
        self._linear(mlp.down, _Buffer.HIDDEN, _Flag.ADD)

    def _normalise(self, norm: RMSNorm | LayerNorm, flags: _Flag = _Flag.NONE) -> None:
        self._append(
            _Kind.NORMALISE,
            source=_Buffer.HIDDEN,
            inputs=len(norm.weight),
            weight=self._keep(norm.weight),
            bias=self._keep(norm.bias if isinstance(norm, LayerNorm) else None),
            epsilon=norm.epsilon,
            flags=flags,
        )

    def _linear(self, layer: nn.Module, target: _Buffer, flags: _Flag = _Flag.NONE, bits: int | None = None) -> None:
        weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
        outputs, inputs = weight.shape
        row = 0
        for piece in self._pieces(weight, bits or self.bits):
            rows = len(piece.values)
            self._append(
                _Kind.LINEAR,
                target=target,
                inputs=inputs,
                outputs=rows,
                format=piece.format,
                flags=flags,
                stride=outputs,
                offset=row,
                packed=self._keep(piece.packed()),
                bias=self._keep(None if bias is None else bias[row : row + rows]),
            )
            row += rows

    def _pieces(self, weight: nn.Parameter, bits: int | None) -> Iterator[QuantisedWeight]:
        """A weight's rows, in order: as many of them together as have one format."""
        inputs = weight.shape[1]
        if weight in self.blocks:
            for _, same in groupby(self.blocks[weight], key=lambda piece: piece.format):
                yield QuantisedWeight.stacked(list(same))
        elif bits is None:
            raise NotNative(f"a weight of {list(weight.shape)} that the checkpoint does not hold in blocks")
        elif inputs % GROUP:
            raise NotNative(f"a width of {inputs}, which is no multiple of {GROUP}")
        else:
            yield QuantisedWeight.of(weight, bits)

    def _append(self, kind: _Kind, **fields: float | None) -> None:
        self.ops.append(Op(kind=kind, **fields))

    def _keep(self, tensor: Tensor | None) -> int | None:
        """The address of a tensor, which lives as long as this list; parameters as float32."""
        if tensor is None:
            return None
        kept = tensor.detach()
        kept = kept if kept.dtype.itemsize == 1 else kept.float().clone()
        self.tensors.append(kept.contiguous())
        return self.tensors[-1].data_ptr()
