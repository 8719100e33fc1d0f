"""A decode step of a decoder over Triton kernels: one token a row, and nothing in it that the host has to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plugtron.context.memory import LayerState
from plugtron.kernels.triton.activations import activate
from plugtron.kernels.triton.decode_attention import decode_attention
from plugtron.kernels.triton.norms import add_and_normalise
from plugtron.kernels.triton.rotary import rotate_and_write
from plugtron.nn.attention import Attention
from plugtron.nn.decoder import TransformerDecoder, TransformerLayer
from plugtron.nn.mlp import MLP, GatedMLP
from plugtron.nn.norms import LayerNorm, RMSNorm
from plugtron.nn.rotary import Rotation

__all__ = ["StepInputs", "decode_step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInputs:
    """What a decode step of R rows reads, int64 on the device; see plugtron.context.memory for the meaning.

    Shapes: tables [R, blocks], the others [R]. A row of zeros computes nothing that is of use, and writes to block 0,
    which is scratch.
    """

    tokens: Tensor
    positions: Tensor
    lengths: Tensor
    write_blocks: Tensor
    write_offsets: Tensor
    tables: Tensor

    @classmethod
    def zeros(cls, rows: int, blocks: int, device: torch.device) -> StepInputs:
        """Inputs of rows that are yet to come."""
        columns = torch.zeros(5, rows, dtype=torch.int64, device=device).unbind()
        return cls(
            tokens=columns[0],
            positions=columns[1],
            lengths=columns[2],
            write_blocks=columns[3],
            write_offsets=columns[4],
            tables=torch.zeros(rows, blocks, dtype=torch.int64, device=device),
        )


def decode_step(decoder: TransformerDecoder, layers: Sequence[LayerState], inputs: StepInputs) -> Tensor:
    """Return this rank's logits [R, V / tp] in float32, and write the rows' keys and values."""
    assert decoder.final_norm is not None
    assert decoder.output is not None
    hidden = decoder.embed(inputs.tokens, inputs.positions)
    rotation = decoder.rotation(inputs.positions)
    added = None
    for layer, state in zip(decoder.layers, layers, strict=True):
        added = _layer(layer, state, hidden, added, rotation, inputs)
    return decoder.output.logits(_normalise(decoder.final_norm, hidden, added)).float()


def _layer(
    layer: TransformerLayer,
    state: LayerState,
    hidden: Tensor,
    added: Tensor | None,
    rotation: Rotation | None,
    inputs: StepInputs,
) -> Tensor:
    """Return what is still to be added to the hidden states, which the next norm does."""
    attended = _attention(layer.attention, _normalise(layer.attention_norm, hidden, added), rotation, state, inputs)
    normed = _normalise(layer.mlp_norm, hidden, attended)
    mlp = layer.mlp
    assert isinstance(mlp, GatedMLP | MLP), "the decoder has been checked"
    if isinstance(mlp, GatedMLP):
        return mlp.down(activate(mlp.gate_up(normed), mlp.activation_name, gated=True))
    return mlp.down(activate(mlp.up(normed), mlp.activation_name, gated=False))


def _attention(
    attention: Attention, hidden: Tensor, rotation: Rotation | None, state: LayerState, inputs: StepInputs
) -> Tensor:
    query_norm, key_norm = attention.query_norm, attention.key_norm
    turn = rotation if attention.shape.rotary > 0 else None
    cosines, sines = (None, None) if turn is None else (turn[0].squeeze(1), turn[1].squeeze(1))
    queries = rotate_and_write(
        attention.qkv(hidden),
        cosines,
        sines,
        None if query_norm is None or key_norm is None else (query_norm.weight, key_norm.weight),
        0.0 if query_norm is None else query_norm.epsilon,
        state.keys,
        state.values,
        inputs.write_blocks,
        inputs.write_offsets,
    )
    attended = decode_attention(
        queries,
        state.keys,
        state.values,
        inputs.tables,
        inputs.lengths,
        window=state.window,
        scale=attention.shape.scale,
    )
    return attention.output(attended.flatten(1))


def _normalise(norm: RMSNorm | LayerNorm, hidden: Tensor, added: Tensor | None) -> Tensor:
    bias = norm.bias if isinstance(norm, LayerNorm) else None
    return add_and_normalise(hidden, added, norm.weight, bias, norm.epsilon)
