"""From the config.json of the Llama family to a DecoderConfig. What is not implemented is refused by name."""

from __future__ import annotations

from plugtron.contracts import ModelDescription
from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig
from plugtron_wrappers.huggingface.ignored_fields import refuse_unknown
from plugtron_wrappers.huggingface.rope import max_positions, rotary_from_huggingface
from plugtron_wrappers.llama.fields import LlamaFields, validated
from plugtron_wrappers.llama.relative import relative_of

__all__ = ["config_from_huggingface"]


def config_from_huggingface(model: ModelDescription, ignored: frozenset[str]) -> DecoderConfig:
    """Translate config.json; `ignored` are unknown fields that the user vouches for.

    Raises:
        CheckpointError: a field is missing, wrong, or asks for what this family does not compute.
    """
    file = str(model.path / "config.json")
    refuse_unknown(model, {*LlamaFields.model_fields, *ignored}, file, wrapper="llama")
    relative = relative_of(model.architecture)
    fields = validated(LlamaFields, {**relative.defaults, **model.configuration}, file)
    layers, heads = fields.num_hidden_layers, fields.num_attention_heads
    if fields.head_dim is None and fields.hidden_size % heads:
        raise CheckpointError(f"{file}: hidden_size {fields.hidden_size} is no multiple of {heads} heads")
    kv_heads = fields.num_key_value_heads or heads
    if heads % kv_heads:
        raise CheckpointError(f"{file}: {heads} attention heads cannot share {kv_heads} key-value heads")
    plain = DecoderConfig(
        vocab_size=fields.vocab_size,
        hidden_size=fields.hidden_size,
        intermediate_size=fields.intermediate_size,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=fields.head_dim or fields.hidden_size // heads,
        max_positions=max_positions(fields, file),
        norm_epsilon=fields.rms_norm_eps,
        rotary=rotary_from_huggingface(fields, file),
        windows=(None,) * layers,
        rotates=(True,) * layers,
        tied=fields.tie_word_embeddings,
        sparse=(False,) * layers,
    )
    return relative.from_huggingface(plain, fields, file)
