"""From a decoder's layers to the list of operations that the native step walks.

What the list holds is said in kernels/native/step.cpp; the numbers here are its enumerations'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum, IntFlag
from itertools import chain, groupby

import torch
from torch import Tensor, nn

from plugtron.contracts.execution import DecoderSource, StoredBlocks
from plugtron.execution.packed import Operation, Packed, Store
from plugtron.kernels.native.packing import WeightFormat, format_of, pack, pack_dense
from plugtron.nn.attention import Attention
from plugtron.nn.config import Activation
from plugtron.nn.decoder import TransformerDecoder, TransformerLayer
from plugtron.nn.mlp import MLP, GatedMLP
from plugtron.nn.norms import LayerNorm, RMSNorm
from plugtron.nn.positions import LearnedPositions
from plugtron.parallel.group import Group
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear, VocabParallelEmbedding
from plugtron.quantization.float8 import Float8Weight
from plugtron.quantization.method import QuantizationMethod, WeightPart, hold_rows
from plugtron.quantization.weight import QuantizedWeight

__all__ = ["LOGITS", "ProgramBuilder", "Unsupported", "check_outline", "operation_name"]

_ACTIVATIONS: tuple[Activation, ...] = ("silu", "gelu", "gelu_tanh", "gelu_quick", "relu", "relu_squared", "tanh")

#: What decoders may be made of; what is derived from one of these may override what it does.
_BLOCKS = (
    *(TransformerDecoder, TransformerLayer, nn.ModuleList, Attention, GatedMLP, MLP, RMSNorm, LayerNorm),
    *(ColumnParallelLinear, RowParallelLinear, VocabParallelEmbedding, LearnedPositions),
)

#: attention.h has room for as many queries to a key-value head.
_MOST_GROUPED = 64


class Unsupported(Exception):
    """A decoder has something that the native step does not know, and what."""


class _Kind(IntEnum):
    NORMALIZE = 0
    PREPARE = 1
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
    GROUPED = 8  # what a linear multiplies is wanted in int8
    DENSE = 16  # or in floats
    SHARED = 32  # sums are wide, so that it does not show how many ranks share the inputs


#: The target of the head.
LOGITS = _Buffer.LOGITS


def operation_name(operation: Operation) -> str:
    """What an operation does, for reading."""
    fields = operation.fields
    kind = _Kind(int(fields["kind"]))
    if kind is not _Kind.LINEAR:
        return kind.name.lower()
    return f"linear {fields['inputs']} x {fields['outputs']}, {WeightFormat(int(fields['format'])).name.lower()}"


def check_outline(source: DecoderSource) -> None:
    """Look for what the kernels do not know: a block of another class may compute something else.

    Raises:
        Unsupported: there is something.
    """
    decoder = source.outline()
    if not isinstance(decoder, TransformerDecoder):
        raise Unsupported(f"the step of a {type(decoder).__name__}")
    for module in decoder.modules():
        if type(module) not in _BLOCKS:
            raise Unsupported(f"the step of a {type(module).__name__}")
        if isinstance(module, Attention):
            if isinstance(module.query_norm, LayerNorm) or isinstance(module.key_norm, LayerNorm):
                raise Unsupported("layer normalization of queries and keys")
            grouped = module.shape.heads // module.shape.kv_heads
            if grouped > _MOST_GROUPED:
                raise Unsupported(f"{grouped} queries to a key-value head")


#: A weight's rows that are held in one form: how many, the form, and their bytes.
Piece = tuple[int, WeightFormat, Iterable[Tensor]]
#: Rows that are quantized at once.
_ROWS = 4096


class ProgramBuilder:
    """Writes the operations of a decoder down, one layer after the other.

    Args:
        store: where packed weights go.
        group: the ranks that share each layer.
        quantization: what weights are held in; None: in `dtype`.
        dtype: what weights are held in that are not quantized, float32 or bfloat16.
        blocks: weights that are stored in quantized blocks, and are used as they are.
    """

    def __init__(
        self,
        store: Store,
        group: Group,
        *,
        quantization: QuantizationMethod | None,
        dtype: torch.dtype,
        blocks: StoredBlocks,
    ) -> None:
        self._store = store
        self._group = group
        self._quantization = quantization
        self._dtype = dtype
        self._blocks = blocks
        self._operations: list[Operation] = []
        self._cuts: list[int] = []

    def add_layer(self, layer: TransformerLayer, number: int) -> None:
        """Append a layer that has been checked; its weights may be let go of. `number` counts this rank's layers."""
        assert isinstance(layer.mlp, GatedMLP | MLP)
        self._normalize(layer.attention_norm)
        self._attention(layer.attention, number)
        self._normalize(layer.mlp_norm)
        self._mlp(layer.mlp)

    def add_head(self, decoder: TransformerDecoder) -> None:
        """Append the final norm and the head."""
        assert decoder.final_norm is not None
        assert isinstance(decoder.output, VocabParallelEmbedding)
        self._normalize(decoder.final_norm, _Flag.SELECTED)
        self._linear(decoder.output, _Buffer.LOGITS, _Flag.SELECTED, part="head")

    def finish(self, parameters: dict[str, Tensor]) -> Packed:
        """Give back the whole list, and `parameters` beside it."""
        kept = {
            name: self._store.add(tensor.dtype, tuple(tensor.shape), [tensor]) for name, tensor in parameters.items()
        }
        return self._store.finish(self._operations, self._cuts, kept)

    def _attention(self, attention: Attention, number: int) -> None:
        shape = attention.shape
        query, key = attention.query_norm, attention.key_norm
        heads = {"layer": number, "heads": shape.heads, "kv_heads": shape.kv_heads, "head_dim": shape.head_dim}
        self._linear(attention.qkv, _Buffer.QKV)
        norms = {"weight": None if query is None else query.weight, "bias": None if key is None else key.weight}
        epsilon = 0.0 if query is None else query.epsilon
        self._append(_Kind.ROTATE, {**heads, "rotary": shape.rotary, "epsilon": epsilon}, norms)
        self._append(_Kind.ATTEND, {**heads, "scale": shape.scale})
        self._append(_Kind.PREPARE, {"source": _Buffer.ATTENDED, "inputs": shape.heads * shape.head_dim})
        self._linear(attention.output, _Buffer.HIDDEN, _Flag.ADD)

    def _mlp(self, mlp: GatedMLP | MLP) -> None:
        gated = isinstance(mlp, GatedMLP)
        self._linear(mlp.gate_up if gated else mlp.up, _Buffer.CHANNELS)
        fields = {
            "source": _Buffer.CHANNELS,
            "inputs": mlp.down.weight.shape[1],
            "layer": _ACTIVATIONS.index(mlp.activation_name),
            "flags": _Flag.GATED if gated else _Flag.NONE,
        }
        self._append(_Kind.ACTIVATE, fields)
        self._linear(mlp.down, _Buffer.HIDDEN, _Flag.ADD)

    def _normalize(self, norm: RMSNorm | LayerNorm, flags: _Flag = _Flag.NONE) -> None:
        own = {"weight": norm.weight, "bias": norm.bias if isinstance(norm, LayerNorm) else None}
        fields = {"source": _Buffer.HIDDEN, "inputs": len(norm.weight), "epsilon": norm.epsilon, "flags": flags}
        self._append(_Kind.NORMALIZE, fields, own)

    def _linear(self, layer: nn.Module, target: _Buffer, flags: _Flag = _Flag.NONE, part: WeightPart = "layer") -> None:
        """Append a product with what the operation before makes ready, in as many parts as the weight has forms.

        Where ranks share the inputs, one of them adds its part to the hidden states, the others put theirs in their
        place: what all of them sum up afterwards is the hidden states and every part.
        """
        weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
        outputs, inputs = weight.shape
        shared = isinstance(layer, RowParallelLinear)
        if shared:
            flags |= _Flag.SHARED
            if self._group.rank > 0:
                flags, bias = flags & ~_Flag.ADD, None
        before, row = self._operations[-1].fields, 0
        for rows, form, packed in self._pieces(weight, part):
            before["flags"] = int(before.get("flags", 0)) | (
                _Flag.DENSE if form in (WeightFormat.F32, WeightFormat.BF16) else _Flag.GROUPED
            )
            fields = {
                "target": target,
                "inputs": inputs,
                "outputs": rows,
                "format": form,
                "flags": flags,
                "stride": outputs,
                "offset": row,
            }
            own = {"bias": None if bias is None else bias[row : row + rows]}
            self._append(_Kind.LINEAR, fields, own, packed=self._store.add(torch.uint8, None, packed))
            row += rows
        if shared and self._group.size > 1:
            self._cuts.append(len(self._operations))

    def _pieces(self, weight: nn.Parameter, part: WeightPart) -> Iterator[Piece]:
        """A weight's rows, in order: as many of them together as have one form."""
        if weight in self._blocks:
            for form, same in groupby(self._blocks[weight], key=format_of):
                piece = QuantizedWeight.stacked(list(same))
                yield len(piece.values), form, pack(piece)
            return
        first, *others = weight.detach().split(_ROWS)
        held = self._hold(part, first)
        if isinstance(held, QuantizedWeight):
            quantized = chain([held], (self._hold(part, rows) for rows in others))
            packed = (piece for rows in quantized if isinstance(rows, QuantizedWeight) for piece in pack(rows))
            yield len(weight), format_of(held), packed
        else:
            kept = weight.detach() if held is None else torch.cat([held, *(self._dense(part, rows) for rows in others)])
            form = WeightFormat.F32 if self._dtype == torch.float32 else WeightFormat.BF16
            yield len(weight), form, pack_dense(kept.to(self._dtype))

    def _hold(self, part: WeightPart, rows: Tensor) -> QuantizedWeight | Tensor | None:
        held = None if self._quantization is None else hold_rows(self._quantization, part, rows)
        assert not isinstance(held, Float8Weight), "which has been refused"
        return held

    def _dense(self, part: WeightPart, rows: Tensor) -> Tensor:
        held = self._hold(part, rows)
        assert isinstance(held, Tensor), "all rows of a weight have one form"
        return held

    def _append(
        self,
        kind: _Kind,
        fields: Mapping[str, float],
        parameters: Mapping[str, Tensor | None] | None = None,
        packed: int | None = None,
    ) -> None:
        """Append an operation; its parameters are kept as float32."""
        tensors = {} if packed is None else {"packed": packed}
        for name, tensor in (parameters or {}).items():
            if tensor is not None:
                tensors[name] = self._store.add(torch.float32, None, [tensor])
        plain = {name: int(value) if isinstance(value, int) else value for name, value in fields.items()}
        self._operations.append(Operation(fields={"kind": int(kind), **plain}, tensors=tensors))
