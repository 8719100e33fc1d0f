"""A step of a decoder over Triton kernels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from plugtron.contracts.memory import LayerState
from plugtron.execution.step_inputs import StepInputs
from plugtron.kernels.triton.activations import activate
from plugtron.kernels.triton.norms import add_and_normalize
from plugtron.kernels.triton.rotary import rotate_and_write
from plugtron.nn.attention import Attention
from plugtron.nn.decoder import TransformerDecoder, TransformerLayer
from plugtron.nn.mlp import MLP, GatedMLP
from plugtron.nn.norms import LayerNorm, RMSNorm
from plugtron.nn.rotary import Rotation

__all__ = ["hidden_states", "logits"]


def hidden_states(decoder: TransformerDecoder, layers: Sequence[LayerState], inputs: StepInputs) -> Tensor:
    """Return what the head looks at, [T, H], and write the tokens' keys and values."""
    assert decoder.final_norm is not None
    hidden = decoder.embed(inputs.tokens, inputs.positions)
    rotation = decoder.rotation(inputs.positions)
    added = None
    for layer, state in zip(decoder.layers, layers, strict=True):
        added = _layer(layer, state, hidden, added, rotation, inputs)
    return _normalize(decoder.final_norm, hidden, added)


def logits(decoder: TransformerDecoder, normed: Tensor) -> Tensor:
    """Map what `hidden_states` gives, [N, H], to this rank's logits [N, V / tp]."""
    assert decoder.output is not None
    return decoder.output.logits(normed)


def _layer(
    layer: TransformerLayer,
    state: LayerState,
    hidden: Tensor,
    added: Tensor | None,
    rotation: Rotation | None,
    inputs: StepInputs,
) -> Tensor:
    """Return what is still to be added to the hidden states, which the next norm does."""
    attended = _attention(layer.attention, _normalize(layer.attention_norm, hidden, added), rotation, state, inputs)
    normed = _normalize(layer.mlp_norm, hidden, attended)
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
    attended = inputs.attend(queries, state, attention.shape.scale)
    return attention.output(attended.flatten(1))


def _normalize(norm: RMSNorm | LayerNorm, hidden: Tensor, added: Tensor | None) -> Tensor:
    bias = norm.bias if isinstance(norm, LayerNorm) else None
    return add_and_normalize(hidden, added, norm.weight, bias, norm.epsilon)
