"""What all configurations in config.json have in common, as a DecoderConfig."""

from __future__ import annotations

from plugtron.errors import CheckpointError
from plugtron.nn import ActivationName, DecoderConfig
from plugtron_wrappers.huggingface.fields import ACTIVATIONS, DecoderFields
from plugtron_wrappers.huggingface.rope import max_positions, rotary_from_huggingface

__all__ = ["activation_named", "plain_decoder"]


def activation_named(name: str, field: str, file: str) -> ActivationName:
    """Return our name of an activation.

    Raises:
        CheckpointError: with `file` and `field`: it is not known.
    """
    if name not in ACTIVATIONS:
        raise CheckpointError(f"{file}: {field} {name!r} (accepted: {', '.join(ACTIVATIONS)})")
    return ACTIVATIONS[name]


def plain_decoder(fields: DecoderFields, file: str, *, norm_epsilon: float) -> DecoderConfig:
    """Return a Llama of the same sizes: RMS norms, gated silu, no biases, no windows, all layers rotating.

    Raises:
        CheckpointError: with `file` and the field that is wrong.
    """
    layers, heads = fields.num_hidden_layers, fields.num_attention_heads
    if fields.head_dim is None and fields.hidden_size % heads:
        raise CheckpointError(f"{file}: hidden_size {fields.hidden_size} is no multiple of {heads} heads")
    kv_heads = fields.num_key_value_heads or heads
    if heads % kv_heads:
        raise CheckpointError(f"{file}: {heads} attention heads cannot share {kv_heads} key-value heads")
    head_dim = fields.head_dim or fields.hidden_size // heads
    return DecoderConfig(
        vocab_size=fields.vocab_size,
        hidden_size=fields.hidden_size,
        intermediate_size=fields.intermediate_size,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        max_positions=max_positions(fields, file),
        norm_epsilon=norm_epsilon,
        rotary=rotary_from_huggingface(fields, file, head_dim),
        windows=(None,) * layers,
        rotates=(True,) * layers,
        tied=fields.tie_word_embeddings,
        sparse=(False,) * layers,
    )
